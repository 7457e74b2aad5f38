#!/usr/bin/python3
"""Drives OpenStack Cinder's own image_utils (Debian package python3-cinder), as the peer in a benchmark.

usage: cinder_driver.py fetch_to_raw GLANCE_URL IMAGE_ID DESTINATION CONVERSION_DIR
       cinder_driver.py upload GLANCE_URL IMAGE_ID VOLUME CONVERSION_DIR

Needs a Glance without authentication, or files served like one. Prints one JSON object with the seconds
spent inside the call, without Python's start-up.
"""
import json
import sys
import time

from oslo_config import cfg

import cinder.privsep
import cinder.image.image_utils as image_utils  # before glance: the two import each other
import cinder.image.glance as glance
from cinder import context, utils
import cinder.common.config  # noqa: F401  registers the options


def prepare(url, conversion_dir):
    """Settings of a Cinder that talks to one Glance and needs no root."""
    cfg.CONF([], project='cinder', default_config_files=[])
    cinder.privsep.sys_admin_pctxt.set_client_mode(False)
    utils.get_root_helper = lambda: 'env'
    cfg.CONF.set_override('glance_api_servers', [url])
    cfg.CONF.set_override('auth_strategy', 'noauth')
    cfg.CONF.set_override('image_conversion_dir', conversion_dir)
    # The default of 1 GiB stops the qemu-img of today before it has begun.
    image_utils.QEMU_IMG_LIMITS.address_space = 8 * 1024 ** 3
    return context.RequestContext('user', 'project', is_admin=True)


def main(operation, url, image_id, path, conversion_dir):
    request = prepare(url, conversion_dir)
    service = glance.GlanceImageService()
    start = time.monotonic()
    if operation == 'fetch_to_raw':
        image_utils.fetch_to_raw(request, service, image_id, path, 4096, run_as_root=False)
    elif operation == 'upload':
        metadata = service.show(request, image_id)
        image_utils.upload_volume(request, service, metadata, path, run_as_root=False)
    else:
        sys.exit(__doc__)
    print(json.dumps({'seconds': round(time.monotonic() - start, 3)}))


if __name__ == '__main__':
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    main(*sys.argv[1:])
