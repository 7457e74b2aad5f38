#!/bin/bash
# Starts a real Glance (and Keystone, and Barbican) from Debian's packages on loopback, with everything in one
# directory: no system service, nothing written to /etc or /var, ephemeral ports, a clean stop. Root is not needed.
#
#   run-glance.sh start [-d DIR] [-m noauth|trusted|keystone] [-s single|multi] [-b] [-e eventlet|uwsgi]
#                       [--rbac] [--caching] [--hash NAME] [--anon] [--token-ttl SECONDS] [--parent PID]
#   run-glance.sh stop -d DIR        stops the processes recorded in DIR/pids, keeps DIR
#   run-glance.sh restart -d DIR     kills Glance (eventlet) without a word and starts it on the same port
#   run-glance.sh env -d DIR         prints DIR/env.sh
#
# It writes DIR/env.sh, DIR/env.json and, with Keystone, DIR/clouds.yaml.
#   -m noauth     every caller is an administrator, no headers are needed
#   -m trusted    identity comes from request headers (X-Identity-Status: Confirmed, X-User-Id, X-Project-Id, X-Roles)
#   -m keystone   Keystone with fernet tokens on SQLite
#   -s multi      stores fast and slow (files) and web (http, reported as read-only)
#   -b            Barbican too; needs -m keystone
#   --parent PID  stops everything and removes DIR when that process has ended, however it ended
set -u
export LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
unset PYTHONPATH PYTHONHOME ${!OS_@} http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY
PATH=/usr/sbin:/usr/bin:/sbin:/bin        # keep pyenv/venv pythons away
CMD=${1:-}; shift || true
DIR= MODE=noauth STORES=single BARB=0 ENGINE=eventlet RBAC=0 CACHING=0 HASH=sha512 ANON=False TTL=3600 PARENT=
while [ $# -gt 0 ]; do case $1 in
  -d) DIR=$2; shift;; -m) MODE=$2; shift;; -s) STORES=$2; shift;; -b) BARB=1;; -e) ENGINE=$2; shift;;
  --rbac) RBAC=1;; --caching) CACHING=1;; --hash) HASH=$2; shift;; --anon) ANON=True;; --token-ttl) TTL=$2; shift;; --parent) PARENT=$2; shift;;
  *) echo "unknown option $1" >&2; exit 2;; esac; shift; done

die(){ echo "run-glance: $*" >&2; exit 1; }
now(){ date +%s.%N; }
alive(){ kill -0 "$1" 2>/dev/null && [ "$(ps -o stat= -p "$1" | cut -c1)" != Z ]; }

do_stop(){
  [ -n "$DIR" ] && [ -d "$DIR" ] || die "stop: -d DIR needed"
  [ -f "$DIR/pids" ] || return 0
  local name pid
  while read -r name pid; do                      # eventlet: TERM = drain then exit; uwsgi: die-on-term
    alive "$pid" && kill -TERM "$pid" 2>/dev/null
  done < "$DIR/pids"
  for _ in $(seq 50); do
    local left=0
    while read -r name pid; do alive "$pid" && left=1; done < "$DIR/pids"
    [ $left = 0 ] && break; sleep 0.1
  done
  while read -r name pid; do                      # keep-alive connections can make eventlet wait: then KILL
    alive "$pid" && { echo "KILL $name $pid" >&2; kill -KILL -- "-$pid" 2>/dev/null || kill -KILL "$pid"; }
  done < "$DIR/pids"
  rm -f "$DIR/pids"
}
spawn(){ # name log cmd...   -> own session, pid recorded
  local name=$1 log=$2; shift 2
  setsid "$@" >"$log" 2>&1 </dev/null &
  echo "$name $!" >> "$DIR/pids"
}
waithttp(){ # url name
  local until=$((SECONDS + 50))                   # a server that accepts and says nothing makes each try last 2 s
  while [ $SECONDS -lt $until ]; do
    curl -s -o /dev/null --max-time 2 "$1" && return 0
    alive "$(awk -v n="${2%%-*}" '$1==n{print $2}' "$DIR/pids")" || { tail -20 "$DIR/log/$2.log" >&2; do_stop; die "$2 died"; }
    sleep 0.05
  done; do_stop; die "$2 did not answer"
}
case $CMD in
  stop) do_stop; exit 0;;
  env) cat "$DIR/env.sh"; exit 0;;
  restart)
    pid=$(awk '$1=="glance"{print $2}' "$DIR/pids"); kill -KILL "$pid"
    while alive "$pid"; do sleep 0.05; done
    sed -i '/^glance /d' "$DIR/pids"
    HOME=$DIR/glance/home spawn glance "$DIR/log/glance-restarted.log" glance-api --config-file "$DIR/glance/etc/glance-api.conf"
    . "$DIR/env.sh"; waithttp "$GLANCE_URL/healthcheck" glance-restarted; exit 0;;
  start) ;;
  *) sed -n 2,19p "$0"; exit 2;;
esac

T0=$(now)
[ -n "$DIR" ] || DIR=$(mktemp -d "${TMPDIR:-/tmp}/disk-image-glance.XXXXXX")
mkdir -p "$DIR"; DIR=$(cd "$DIR" && pwd); : > "$DIR/pids"
[ $BARB = 1 ] && [ $MODE != keystone ] && die "-b needs -m keystone"
read -r GPORT KPORT BPORT < <(/usr/bin/python3 - <<'P'
import socket
s=[socket.socket() for _ in range(3)]
for x in s: x.bind(('127.0.0.1',0))
print(*[x.getsockname()[1] for x in s])
P
)
watch_parent(){ # a killed test run must not leave services behind
  [ -n "$PARENT" ] || return 0
  setsid /bin/bash -c 'while kill -0 "$1" 2>/dev/null && [ -f "$2/pids" ]; do sleep 1; done
    [ -f "$2/pids" ] || exit 0; "$3" stop -d "$2"; rm -rf "$2"' watch "$PARENT" "$DIR" "$(readlink -f "$0")" >/dev/null 2>&1 </dev/null &
}
wal(){ # journal_mode=WAL is persistent; without it Keystone dies with "database is locked" (a reader in the same request blocks the commit)
  /usr/bin/python3 -c 'import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute("pragma journal_mode=WAL"); c.close()' "$1"; }
watch_parent
G=$DIR/glance K=$DIR/keystone B=$DIR/barbican
mkdir -p "$DIR/log" "$G"/{etc/policy.d,images,fast,slow,staging,tasks,cache,lock,home}
ADMINPW=adminpw DEMOPW=demopw SVCPW=svcpw

# ------------------------------------------------------------------ keystone
if [ $MODE = keystone ]; then
  mkdir -p "$K"/{etc/policy.d,fernet,cred}; chmod 700 "$K/fernet" "$K/cred"
  for d in fernet cred; do for i in 0 1; do      # == keystone-manage fernet_setup/credential_setup, 4 s cheaper
    head -c 32 /dev/urandom | base64 -w0 | tr '+/' '-_' > "$K/$d/$i"; chmod 600 "$K/$d/$i"; done; done
  cat > "$K/etc/keystone.conf" <<EOF
[DEFAULT]
use_stderr = true
log_file =
log_dir =
[database]
connection = sqlite:///$K/keystone.db
[identity]
password_hash_rounds = 4
[token]
provider = fernet
expiration = $TTL
[fernet_tokens]
key_repository = $K/fernet
[fernet_receipts]
key_repository = $K/fernet
[credential]
key_repository = $K/cred
[cache]
enabled = true
backend = dogpile.cache.memory
[oslo_policy]
policy_dirs = $K/etc/policy.d
EOF
  ( # db_sync and bootstrap are sequential; glance/barbican DBs are made meanwhile
    keystone-manage --config-file "$K/etc/keystone.conf" db_sync &&
    wal "$K/keystone.db" &&
    keystone-manage --config-file "$K/etc/keystone.conf" bootstrap --bootstrap-username admin \
      --bootstrap-password $ADMINPW --bootstrap-project-name admin --bootstrap-role-name admin \
      --bootstrap-service-name keystone --bootstrap-region-id RegionOne \
      --bootstrap-public-url "http://127.0.0.1:$KPORT/v3" --bootstrap-internal-url "http://127.0.0.1:$KPORT/v3" \
      --bootstrap-admin-url "http://127.0.0.1:$KPORT/v3"
  ) > "$DIR/log/keystone-manage.log" 2>&1 &
  KSYNC=$!
fi
# ------------------------------------------------------------------ glance config
FLAVOR=; [ $MODE = keystone ] && FLAVOR=keystone; [ $MODE = trusted ] && FLAVOR=fake
[ $CACHING = 1 ] && { [ -z "$FLAVOR" ] && FLAVOR=cachemanagement || FLAVOR=$FLAVOR+cachemanagement; }
# own paste files (the packaged ones are 0640 root:glance); "fake" = context without authtoken
pipes(){ local base='cors healthcheck http_proxy_to_wsgi versionnegotiation osprofiler' f
  for f in "glance-api|unauthenticated-context" "glance-api-keystone|authtoken context" "glance-api-fake|context"; do
    echo "[pipeline:${f%%|*}]"; echo "pipeline = $base ${f#*|} rootapp"
    if [ "${f%%|*}" = glance-api ]; then echo "[pipeline:glance-api-cachemanagement]"; else echo "[pipeline:${f%%|*}+cachemanagement]"; fi
    echo "pipeline = $base ${f#*|} cache cachemanage rootapp"
  done; }
{ pipes; cat <<EOF
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:healthcheck]
paste.filter_factory = oslo_middleware:Healthcheck.factory
backends = disable_by_file
disable_by_file_path = $G/etc/healthcheck_disable
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:cache]
paste.filter_factory = glance.api.middleware.cache:CacheFilter.factory
[filter:cachemanage]
paste.filter_factory = glance.api.middleware.cache_manage:CacheManageFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:unauthenticated-context]
paste.filter_factory = glance.api.middleware.context:UnauthenticatedContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
[filter:osprofiler]
paste.filter_factory = osprofiler.web:WsgiMiddleware.factory
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = glance
oslo_config_program = glance-api
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
EOF
} > "$G/etc/glance-api-paste.ini"
echo '{}' > "$G/etc/policy.yaml"
if [ $STORES = multi ]; then
  GSTORE=$(cat <<EOF
[glance_store]
default_backend = fast
[fast]
filesystem_store_datadir = $G/fast
store_description = fast file store
[slow]
filesystem_store_datadir = $G/slow
store_description = slow file store
[web]
store_description = http store (reported read-only)
[os_glance_staging_store]
filesystem_store_datadir = $G/staging
[os_glance_tasks_store]
filesystem_store_datadir = $G/tasks
EOF
); BACKENDS="enabled_backends = fast:file,slow:file,web:http"
else
  GSTORE=$(cat <<EOF
[glance_store]
stores = file,http
default_store = file
filesystem_store_datadir = $G/images
EOF
); BACKENDS=
fi
cat > "$G/etc/glance-api.conf" <<EOF
[DEFAULT]
bind_host = 127.0.0.1
bind_port = $GPORT
workers = 0
use_stderr = true
show_image_direct_url = true
show_multiple_locations = true
hashing_algorithm = $HASH
allow_anonymous_access = $ANON
enabled_import_methods = [glance-direct,web-download,copy-image]
node_staging_uri = file://$G/staging
image_cache_dir = $G/cache
$BACKENDS
$([ $RBAC = 1 ] && echo "enforce_secure_rbac = true")
[database]
connection = sqlite:///$G/glance.db
[paste_deploy]
flavor = $FLAVOR
config_file = $G/etc/glance-api-paste.ini
$GSTORE
[import_filtering_opts]
# Lists with bounds: the brackets are mandatory. Loopback and link-local targets are refused for web-download
# and http locations unless they are listed here.
allowed_schemes = [http,https]
allowed_hosts = [127.0.0.1,localhost]
allowed_ports = []
disallowed_ports = []
[taskflow_executor]
engine_mode = serial
[oslo_concurrency]
lock_path = $G/lock
[oslo_policy]
policy_file = $G/etc/policy.yaml
policy_dirs = $G/etc/policy.d
$([ $RBAC = 1 ] && printf 'enforce_new_defaults = true\nenforce_scope = true\n')
[oslo_messaging_notifications]
driver = noop
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:$KPORT
auth_url = http://127.0.0.1:$KPORT
auth_type = password
username = glance
password = $SVCPW
project_name = service
user_domain_name = Default
project_domain_name = Default
token_cache_time = -1
interface = internal
[key_manager]
backend = barbican
[barbican]
barbican_endpoint = http://127.0.0.1:$BPORT
auth_endpoint = http://127.0.0.1:$KPORT/v3
barbican_api_version = v1
[barbican_service_user]
EOF
glance-manage --config-file "$G/etc/glance-api.conf" db_sync > "$DIR/log/glance-manage.log" 2>&1 || { cat "$DIR/log/glance-manage.log" >&2; die "glance db_sync"; }
wal "$G/glance.db"
if [ $ENGINE = uwsgi ]; then
  # init_app() reads OS_GLANCE_CONFIG_DIR/{glance-api-paste.ini,glance-image-import.conf,glance-api.conf}
  OS_GLANCE_CONFIG_DIR=$G/etc HOME=$G/home spawn glance "$DIR/log/glance.log" uwsgi --plugin python3,http --master --die-on-term \
    --no-orphans --lazy-apps --enable-threads --processes 1 --threads 8 --listen 100 --buffer-size 65535 \
    --http 127.0.0.1:$GPORT --http-keepalive=15 --http-auto-chunked --http-chunked-input --http-raw-body --http-timeout 600 --socket-timeout 600 \
    --rem-header Content-Length --disable-logging --wsgi-file /usr/bin/glance-wsgi-api
else
  HOME=$G/home spawn glance "$DIR/log/glance.log" glance-api --config-file "$G/etc/glance-api.conf"
fi
# ------------------------------------------------------------------ keystone + barbican start
if [ $MODE = keystone ]; then
  wait $KSYNC || { tail -20 "$DIR/log/keystone-manage.log" >&2; do_stop; die "keystone-manage"; }
  OS_KEYSTONE_CONFIG_DIR=$K/etc/ HOME=$G/home spawn keystone "$DIR/log/keystone.log" uwsgi --plugin python3 --master --die-on-term \
    --no-orphans --enable-threads --processes 1 --threads 8 --listen 100 --buffer-size 65535 \
    --http11-socket 127.0.0.1:$KPORT --disable-logging --wsgi-file /usr/bin/keystone-wsgi-public
  if [ $BARB = 1 ]; then
    mkdir -p "$B"/home/.barbican "$B"/etc/policy.d
    # barbican has no config env var: oslo.config searches ~/.barbican/barbican.conf first
    cat > "$B/home/.barbican/barbican.conf" <<EOF
[DEFAULT]
use_stderr = true
sql_connection = sqlite:///$B/barbican.db
db_auto_create = true
host_href = http://127.0.0.1:$BPORT
[secretstore]
enabled_secretstore_plugins = store_crypto
namespace = barbican.secretstore.plugin
[crypto]
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = $(head -c 32 /dev/urandom | base64 -w0 | tr '+/' '-_')
[queue]
enable = false
[oslo_policy]
policy_dirs = $B/etc/policy.d
[keystone_authtoken]
www_authenticate_uri = http://127.0.0.1:$KPORT
auth_url = http://127.0.0.1:$KPORT
auth_type = password
username = barbican
password = $SVCPW
project_name = service
user_domain_name = Default
project_domain_name = Default
token_cache_time = -1
interface = internal
EOF
    cat > "$B/etc/barbican-api-paste.ini" <<EOF
[composite:main]
use = egg:Paste#urlmap
/: barbican_version
/healthcheck: healthcheck
/v1: barbican-api-keystone
[pipeline:barbican_version]
pipeline = cors http_proxy_to_wsgi microversion versionapp
[pipeline:barbican-api-keystone]
pipeline = cors http_proxy_to_wsgi authtoken context microversion apiapp
[app:apiapp]
paste.app_factory = barbican.api.app:create_main_app
[app:versionapp]
paste.app_factory = barbican.api.app:create_version_app
[filter:context]
paste.filter_factory = barbican.api.middleware.context:ContextMiddleware.factory
[filter:microversion]
paste.filter_factory = barbican.api.middleware.microversion:MicroversionMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
[filter:cors]
paste.filter_factory = oslo_middleware.cors:filter_factory
oslo_config_project = barbican
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
[app:healthcheck]
paste.app_factory = oslo_middleware:Healthcheck.app_factory
backends = disable_by_file
disable_by_file_path = $B/etc/healthcheck_disable
EOF
    cat > "$B/etc/wsgi.py" <<EOF
from paste import deploy
application = deploy.loadapp('config:$B/etc/barbican-api-paste.ini')
EOF
    HOME=$B/home spawn barbican "$DIR/log/barbican.log" uwsgi --plugin python3 --master --die-on-term \
      --no-orphans --enable-threads --lazy-apps --processes 1 --threads 4 --listen 100 --buffer-size 65535 \
      --http11-socket 127.0.0.1:$BPORT --disable-logging --wsgi-file "$B/etc/wsgi.py"
  fi
  waithttp "http://127.0.0.1:$KPORT/v3" keystone
  # ---- fixtures over REST (the openstack CLI costs ~1.5 s per call)
  KPORT=$KPORT GPORT=$GPORT BPORT=$BPORT BARB=$BARB DIR=$DIR ADMINPW=$ADMINPW DEMOPW=$DEMOPW SVCPW=$SVCPW /usr/bin/python3 - <<'P' || { do_stop; die fixtures; }
import json, os, urllib.request as u
E=os.environ; K='http://127.0.0.1:%s/v3'%E['KPORT']; tok=None
def rq(m,p,b=None,t=None):
    r=u.Request(K+p,method=m,data=None if b is None else json.dumps(b).encode(),headers={'Content-Type':'application/json'})
    if t or tok: r.add_header('X-Auth-Token',t or tok)
    with u.urlopen(r,timeout=20) as f:
        d=f.read(); return f.headers,(json.loads(d) if d else None)
def login(user,pw,project):
    h,_=rq('POST','/auth/tokens',{'auth':{'identity':{'methods':['password'],'password':{'user':{'name':user,'domain':{'id':'default'},'password':pw}}},
        'scope':{'project':{'name':project,'domain':{'id':'default'}}}}})
    return h['X-Subject-Token']
tok=login('admin',E['ADMINPW'],'admin')
roles={r['name']:r['id'] for r in rq('GET','/roles')[1]['roles']}
for r in ('service','creator','image_signer'):
    if r not in roles: roles[r]=rq('POST','/roles',{'role':{'name':r}})[1]['role']['id']
def project(n): return rq('POST','/projects',{'project':{'name':n,'domain_id':'default'}})[1]['project']['id']
def user(n,pw): return rq('POST','/users',{'user':{'name':n,'password':pw,'domain_id':'default'}})[1]['user']['id']
def grant(p,us,*rs):
    for r in rs: rq('PUT','/projects/%s/users/%s/roles/%s'%(p,us,roles[r]))
svc=project('service'); demo=project('demo'); other=project('other')
for n in ('glance','barbican','cinder'): grant(svc,user(n,E['SVCPW']),'admin','service')
uid=user('demo',E['DEMOPW']); grant(demo,uid,'member','creator'); grant(other,uid,'reader')
uid2=user('other',E['DEMOPW']); grant(other,uid2,'member')
adm=rq('GET','/users?name=admin')[1]['users'][0]['id']; grant(demo,adm,'admin')
def service(name,typ,url,n=1):
    s=rq('POST','/services',{'service':{'name':name,'type':typ}})[1]['service']['id']
    for i in ('public','internal','admin'):
        rq('POST','/endpoints',{'endpoint':{'service_id':s,'interface':i,'url':url,'region_id':'RegionOne'}})
    return s
img=service('glance','image','http://127.0.0.1:%s'%E['GPORT'])
# a second region whose image endpoint is dead, for region-selection tests
rq('POST','/regions',{'region':{'id':'RegionTwo'}})
rq('POST','/endpoints',{'endpoint':{'service_id':img,'interface':'public','url':'http://127.0.0.1:9','region_id':'RegionTwo'}})
if E['BARB']=='1': service('barbican','key-manager','http://127.0.0.1:%s'%E['BPORT'])
t=login('demo',E['DEMOPW'],'demo')
ac=rq('POST','/users/%s/application_credentials'%uid,{'application_credential':{'name':'ac','secret':'acsecret','unrestricted':False}},t)[1]['application_credential']
out={'OS_AUTH_URL':K,'OS_IDENTITY_API_VERSION':'3','OS_USERNAME':'demo','OS_PASSWORD':E['DEMOPW'],'OS_PROJECT_NAME':'demo','OS_PROJECT_ID':demo,
 'OS_USER_DOMAIN_ID':'default','OS_PROJECT_DOMAIN_ID':'default','OS_REGION_NAME':'RegionOne','OS_INTERFACE':'public',
 'X_ADMIN_PASSWORD':E['ADMINPW'],'X_OTHER_PROJECT_ID':other,'X_DEMO_USER_ID':uid,'X_SERVICE_PASSWORD':E['SVCPW'],
 'X_APP_CRED_ID':ac['id'],'X_APP_CRED_SECRET':'acsecret'}
json.dump(out,open(E['DIR']+'/ks.json','w'))
auth=dict(auth_url=K,username='demo',password=E['DEMOPW'],project_name='demo',user_domain_id='default',project_domain_id='default')
clouds={'clouds':{'demo':dict(auth=auth,region_name='RegionOne'),
 'admin':dict(auth=dict(auth,username='admin',password=E['ADMINPW'],project_name='admin'),region_name='RegionOne'),
 'admin-in-demo':dict(auth=dict(auth,username='admin',password=E['ADMINPW']),region_name='RegionOne'),
 'other':dict(auth=dict(auth,username='other',project_name='other'),region_name='RegionOne'),
 'appcred':dict(auth_type='v3applicationcredential',auth=dict(auth_url=K,application_credential_id=ac['id'],application_credential_secret='acsecret'),region_name='RegionOne'),
 'noversion':dict(auth=dict(auth,auth_url=K[:-3]),region_name='RegionOne')}}
json.dump(clouds,open(E['DIR']+'/clouds.yaml','w'),indent=1)   # JSON is valid YAML
P
  [ $BARB = 1 ] && waithttp "http://127.0.0.1:$BPORT/healthcheck" barbican
fi
waithttp "http://127.0.0.1:$GPORT/healthcheck" glance
DIR=$DIR GPORT=$GPORT BPORT=$BPORT KPORT=$KPORT MODE=$MODE BARB=$BARB /usr/bin/python3 - <<'P'
import json,os,shlex
E=os.environ; d=E['DIR']; o={'RG_DIR':d,'RG_MODE':E['MODE'],'GLANCE_URL':'http://127.0.0.1:'+E['GPORT']}
if E['MODE']=='keystone': o['KEYSTONE_URL']='http://127.0.0.1:'+E['KPORT']; o.update(json.load(open(d+'/ks.json'))); o['OS_CLIENT_CONFIG_FILE']=d+'/clouds.yaml'
if E['BARB']=='1': o['BARBICAN_URL']='http://127.0.0.1:'+E['BPORT']
json.dump(o,open(d+'/env.json','w'),indent=1)
open(d+"/env.sh","w").write(''.join('export %s=%s\n'%(k,shlex.quote(v)) for k,v in o.items()))
P
printf 'ready in %.1f s (%s, %s, barbican=%s, %s): %s\n' "$(echo "$(now)-$T0" | bc)" $MODE $STORES $BARB $ENGINE "$DIR/env.sh"
