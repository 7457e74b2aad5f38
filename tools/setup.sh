# Sourced by tools/test and tools/quickstart: Debian packages, pnpm and the dependencies of the workspace.
# Changes nothing outside of the repository but the Debian packages that are missing.

say() { printf '\n\033[1m==> %s\033[0m\n' "$*"; }
note() { printf '    %s\n' "$*"; }

# Where no terminal reads along, the escape codes are left out.
if [ ! -t 1 ] || [ -n "${NO_COLOR:-}" ]; then
  say() { printf '\n==> %s\n' "$*"; }
fi

# Prints those of the given Debian packages that are not installed. A program of that name that came another way will
# do: Ubuntu has no package with its chromium.
missing_packages() {
  local name
  for name in "$@"; do
    case "$(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null)" in
      installed) ;;
      *) command -v "$name" >/dev/null || printf '%s\n' "$name" ;;
    esac
  done
}

# Prints those of the given Debian packages that apt could install.
known_packages() {
  local name
  for name in "$@"; do
    case "$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^  Candidate: //p')" in
      '' | '(none)') ;;
      *) printf '%s\n' "$name" ;;
    esac
  done
}

policy=/usr/sbin/policy-rc.d

# While this file says 101, dpkg starts no service that it installs.
forbid_services() {
  [ ! -e "$policy" ] || as_root mv "$policy" "$policy.before-disk-image" || return
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
}

allow_services() {
  as_root rm -f "$policy"
  [ ! -e "$policy.before-disk-image" ] || as_root mv "$policy.before-disk-image" "$policy"
}

# A service that came with these packages shall not start at the next boot either.
disable_services() {
  command -v systemctl >/dev/null || return 0
  local unit
  for unit in $(dpkg -L "$@" 2>/dev/null | sed -n 's|^\(/usr\)\?/lib/systemd/system/\([^/@]*\.service\)$|\2|p' | sort -u); do
    as_root systemctl disable --quiet "$unit" 2>/dev/null || true
  done
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

may_become_root() {
  [ "$(id -u)" = 0 ] && return 0
  command -v sudo >/dev/null || return 1
  sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -v; }
}

# Installs what is missing of the given Debian packages; where it can't, it says what to run and returns 1.
install_packages() {
  local missing known status
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    note "This is no Debian or Ubuntu. What is needed goes by these names there:"
    note "$*"
    return 1
  fi
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  say "Debian packages: $(echo $missing)"
  if ! may_become_root; then
    note 'They need an administrator. Run this, and then this script again:'
    note "sudo apt-get install -y --no-install-recommends $(echo $missing)"
    return 1
  fi
  as_root apt-get update -q >/dev/null || note 'apt-get update failed; going on with what apt knows'
  known=$(known_packages $missing)
  [ "$known" = "$missing" ] || note "Not known to apt here: $(comm -23 <(echo "$missing" | sort) <(echo "$known" | sort) | xargs)"
  [ -n "$known" ] || return 1
  forbid_services || return 1
  trap allow_services EXIT
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 $known >"$cache/apt.log" 2>&1
  status=$?
  trap - EXIT
  allow_services
  [ "$status" = 0 ] || { tail -n 15 "$cache/apt.log"; return 1; }
  disable_services $known
  [ "$known" = "$missing" ]
}

# Puts pnpm 12 on PATH: the one that is there, or one of our own in .cache.
ensure_pnpm() {
  local own="$cache/pnpm"
  # Asked from elsewhere: inside the workspace an old pnpm answers with the version that it would download.
  case "$(cd / && pnpm --version 2>/dev/null)" in 12.*) return 0 ;; esac
  export PATH="$own/node_modules/.bin:$PATH"
  case "$(cd / && pnpm --version 2>/dev/null)" in 12.*) return 0 ;; esac
  command -v npm >/dev/null || { note 'Neither pnpm 12 nor npm is there. Install Node.js and npm: https://nodejs.org'; return 1; }
  say "pnpm $pnpm_version, into .cache/pnpm"
  mkdir -p "$own" && echo '{"private":true}' >"$own/package.json"
  npm install --prefix "$own" --no-audit --no-fund --no-update-notifier --loglevel=error "pnpm@$pnpm_version" || return 1
  hash -r
  # The program itself is put in place by an install script, which some settings of npm forbid.
  (cd / && pnpm --version >/dev/null 2>&1) || (cd "$own/node_modules/pnpm" && node install.js) || return 1
  (cd / && pnpm --version >/dev/null)
}

# The workspace's dependencies, exactly as locked. Brings Node.js 24 along for everything that follows.
install_dependencies() {
  say 'Dependencies'
  # An old node starts the install and is warned about at length; what follows runs on the workspace's own.
  (set -o pipefail; CI=true pnpm install --frozen-lockfile --prefer-offline --reporter=append-only 2>&1 |
    { grep -v 'Unsupported engine' || true; }) || return 1
  node_program="$repository/node_modules/node/bin/node"
  "$node_program" --version >/dev/null || return 1
}

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache="$repository/.cache"
pnpm_version=$(sed -n 's/.*"packageManager": "pnpm@\([0-9.]*\).*/\1/p' "$repository/package.json")
export DO_NOT_TRACK=1 TURBO_TELEMETRY_DISABLED=1
mkdir -p "$cache"
cd "$repository" || exit 1
