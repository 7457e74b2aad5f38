"""Signs requests as botocore does (Debian's python3-botocore): a list of them on standard input, the headers on standard output."""
import json
import sys

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

signed = []
for case in json.load(sys.stdin):
    by = case["credentials"]
    credentials = Credentials(by["accessKeyId"], by["secretAccessKey"], by.get("sessionToken"))
    auth = S3SigV4Auth(credentials, "s3", case["region"])
    headers = {**case["headers"], "X-Amz-Content-SHA256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"}
    request = AWSRequest(method=case["method"], url=case["url"], headers=headers)
    request.context["timestamp"] = case["time"]
    request.context["payload_signing_enabled"] = True
    auth._modify_request_before_signing(request)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    auth._inject_signature_to_request(request, auth.signature(text, request))
    signed.append(request.headers["Authorization"])
json.dump(signed, sys.stdout)
