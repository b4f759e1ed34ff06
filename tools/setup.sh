#!/bin/sh
# Makes a checkout ready to run: Debian packages where it may, then .venv from the hash-pinned requirements.
#
#   tools/setup.sh [demo|test|slow|bench]     default: demo
#
# 1. Idempotent. A finished set-up is named by a stamp holding the digest of everything it was made from; with that
#    stamp in place a run only compares digests. An environment without its stamp was interrupted and is made anew.
# 2. Writes only below the checkout (.venv, .cache), but for Debian packages, which need root and are only added.
# 3. No daemon is started by an installation: a policy-rc.d forbids it for as long as apt runs.
# 4. Two runs at once wait for each other.
# 5. Wheels only: nothing fetched is built here, so no code of others runs during set-up.
set -eu
umask 022

goal=${1:-demo}
top=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd -P)
cd "$top"
# Administration tools are not on every user's PATH.
PATH=$PATH:/usr/sbin:/sbin
venv=.venv
state=.cache/setup
stamp=$venv/.holdfast-stamp
policy=/usr/sbin/policy-rc.d
policy_mark='# Put here by the set-up of Holdfast while it installs packages; safe to remove.'
policy_is_ours=no

say() { printf 'setup: %s\n' "$*" >&2; }

die() {
    say "$1"
    say "  -> $2"
    exit 1
}

# ---------------------------------------------------------------------------------------------- Debian packages

forbid_starts() {
    # A machine's own policy is left alone, even if it allows starts: its owner decided so.
    [ ! -e "$policy" ] || return 0
    policy_is_ours=yes
    printf '#!/bin/sh\n%s\nexit 101\n' "$policy_mark" >"$policy.holdfast"
    chmod 0755 "$policy.holdfast"
    mv "$policy.holdfast" "$policy"
}

allow_starts() {
    [ "$policy_is_ours" = yes ] || return 0
    rm -f "$policy"
    policy_is_ours=no
}

drop_old_policy() {
    # Left by a run that was killed between the two above.
    if [ "$(id -u)" = 0 ] && grep -qsF "$policy_mark" "$policy"; then rm -f "$policy"; fi
}

need() { # need PACKAGE COMMAND...: note the package when its command does not run
    package=$1
    shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}

debian_packages() {
    missing=
    # Asked only where an environment is still to be made: starting Python would be half of a finished set-up's time.
    [ "$made" = yes ] || need python3-venv python3 -c 'import ensurepip; ensurepip.version()'
    need iproute2 command -v ip
    need curl command -v curl
    need openssl command -v openssl
    need dpkg command -v dpkg
    need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt
    # TPMs in software, what speaks to them, and what images that are verified at boot are made with.
    need swtpm command -v swtpm
    need tpm2-tools command -v tpm2_createek
    need tpm2-openssl sh -c 'ls /usr/lib/*/ossl-modules/tpm2.so'
    need u-boot-tools command -v mkimage
    need device-tree-compiler command -v dtc
    need cryptsetup-bin command -v veritysetup
    if [ "$goal" != demo ]; then
        need busybox command -v busybox
        need strace command -v strace
        need systemd command -v systemd-analyze
        # What images of root file systems are made with.
        need squashfs-tools command -v mksquashfs
        need e2fsprogs command -v mke2fs
        need util-linux command -v mkfs.cramfs
        need genromfs command -v genromfs
        need zstd command -v zstd
        need lz4 command -v lz4
        need lzop command -v lzop
        need cpio command -v cpio
        need dosfstools command -v mkfs.fat
        # Brokers, never started by their installation: tests start their own.
        need mosquitto command -v mosquitto
        need nats-server command -v nats-server
        # What installs images on devices, and their update clients.
        need rauc command -v rauc
        need rauc-service test -e /usr/share/dbus-1/system.d/de.pengutronix.rauc.conf
        need swupdate command -v swupdate
        need faketime command -v faketime
        need mtools command -v mcopy
        need mtd-utils command -v ubinize
        # Tokens that keys are kept in, and what reaches them from a device.
        need softhsm2 command -v softhsm2-util
        need opensc command -v pkcs11-tool
        need libengine-pkcs11-openssl sh -c 'ls /usr/lib/*/engines-3/pkcs11.so'
        # A maker of software TPMs, and a resource manager as the kernel has one for real chips.
        need swtpm-tools command -v swtpm_localca
        need gnutls-bin command -v certtool
        need tpm2-abrmd command -v tpm2-abrmd
        need libtss2-tcti-tabrmd0 sh -c 'ls /usr/lib/*/libtss2-tcti-tabrmd.so.0'
        need dbus-daemon command -v dbus-daemon
        need python3-tpm2-pytss /usr/bin/python3 -c "import tpm2_pytss"
        # Who else measures, signs and reads what a boot leaves.
        need ima-evm-utils command -v evmctl
        need sbsigntool command -v sbsign
        need pesign command -v pesign
        need systemd-boot-efi sh -c 'ls /usr/lib/systemd/boot/efi/*.efi.stub'
        need binutils command -v objcopy
    fi
    if [ "$goal" = slow ] && [ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ]; then
        # A machine with real firmware that boots under Secure Boot.
        need qemu-system-x86 command -v qemu-system-x86_64
        need ovmf test -e /usr/share/OVMF/OVMF_VARS_4M.snakeoil.fd
    fi
    if [ "$goal" = bench ]; then
        # Peers of the audit, with the content that Debian packages for one of them, and what makes a root to look at.
        need lynis command -v lynis
        need openscap-scanner command -v oscap
        need ssg-debian test -e /usr/share/xml/scap/ssg/content
        need debootstrap command -v debootstrap
    fi
    [ -n "$missing" ] || return 0

    if ! command -v apt-get >/dev/null 2>&1; then
        say "not on Debian, so these were not installed:$missing; what needs them is skipped."
    elif [ "$(id -u)" != 0 ]; then
        say "not root, so these were not installed:$missing; what needs them is skipped."
        say "  -> as root: apt-get install --no-install-recommends$missing"
    elif [ -n "$(find "$state/apt-failed" -mmin -60 2>/dev/null)" ] && [ "$(cat "$state/apt-failed")" = "$missing" ]; then
        say "these could not be installed less than an hour ago:$missing (remove $state/apt-failed to try again)."
    else
        apt_install
    fi
}

apt_install() {
    say "installing Debian packages:$missing"
    forbid_starts
    log=$state/apt.log
    export DEBIAN_FRONTEND=noninteractive
    # The update may fail for one broken source of many: the installation decides.
    apt-get -q update >"$log" 2>&1 </dev/null || say "apt-get update was not entirely successful (see $log)"
    # shellcheck disable=SC2086  # the list is meant to be split
    if apt-get -q -y install --no-install-recommends --no-upgrade $missing >>"$log" 2>&1 </dev/null; then
        rm -f "$state/apt-failed"
    else
        printf '%s' "$missing" >"$state/apt-failed"
        say "these could not be installed:$missing (see $log); what needs them is skipped."
    fi
    allow_starts
}

boot_kernel() {
    # What the machine with real firmware boots: Debian's kernel, unpacked and never installed.
    place=.cache/uefi
    if ls "$place"/boot/vmlinuz-* >/dev/null 2>&1 || ! command -v apt-get >/dev/null 2>&1; then return 0; fi
    package=$(apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
        sed -n 's/^ *Depends: //p' | head -n 1)
    rm -rf "$place"
    mkdir -p "$place/new"
    if [ -n "$package" ] && (cd "$place/new" && apt-get -q download "$package" >/dev/null 2>&1) &&
        dpkg-deb --fsys-tarfile "$place"/new/*.deb | tar -x -C "$place/new" ./boot; then
        mv "$place/new/boot" "$place/boot"
    else
        say "no kernel could be fetched; what boots one is skipped."
    fi
    rm -rf "$place/new"
}

# ------------------------------------------------------------------------------------------- Python environment

digest() {
    # The place counts too: a virtual environment that was moved or copied does not work.
    {
        printf '%s\n' "$top"
        readlink -f "$(command -v python3)"
        cat tools/setup.sh requirements/bootstrap.txt requirements/dev.txt packages/*/pyproject.toml
    } | sha256sum | cut -d' ' -f1
}

check_python() {
    command -v python3 >/dev/null 2>&1 || die "python3 was not found." "install Python 3.11 or newer"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        die "$(python3 -V) is too old." "install Python 3.11 or newer"
    python3 -c 'import ensurepip; ensurepip.version()' >/dev/null 2>&1 ||
        die "this Python cannot make virtual environments." "as root: apt-get install python3-venv"
}

fill() {
    # uv needs seconds where pip needs minutes. It does not read pip's configuration, so where an index is
    # configured for pip alone, uv finds nothing, and pip does the work.
    say "fetching uv"
    "$venv/bin/pip" install -q --require-hashes --only-binary :all: -r requirements/bootstrap.txt
    say "fetching the pinned packages"
    if "$venv/bin/uv" pip sync -q --python "$venv/bin/python" --require-hashes --only-binary :all: requirements/dev.txt \
        >"$state/uv.log" 2>&1; then
        return 0
    fi
    say "uv could not (see $state/uv.log); trying pip, which takes minutes"
    "$venv/bin/pip" install -q --require-hashes --only-binary :all: -r requirements/dev.txt
}

own_packages() {
    # No isolation: the build backend is among the pinned packages, so nothing unpinned is fetched here.
    set --
    for package in packages/*/; do set -- "$@" -e "./${package%/}"; done
    "$venv/bin/uv" pip install -q --python "$venv/bin/python" --no-deps --no-build-isolation --offline "$@" \
        >>"$state/uv.log" 2>&1 ||
        "$venv/bin/pip" install -q --no-deps --no-build-isolation --no-index "$@"
}

environment() {
    [ "$made" = no ] || return 0
    check_python
    say "making $venv (about a minute, once)"
    rm -rf "$venv"
    python3 -m venv "$venv"
    fill
    own_packages
    printf '%s\n' "$wanted" >"$stamp.new"
    mv "$stamp.new" "$stamp"
    say "ready"
}

# --------------------------------------------------------------------------------------------------------- run

case $goal in demo | test | slow | bench) ;; *) die "unknown goal: $goal" "one of demo, test, slow, bench" ;; esac

mkdir -p "$state" .cache/tmp
# What pip and uv keep and scratch stays in the checkout.
export UV_CACHE_DIR="$top/.cache/uv" PIP_CACHE_DIR="$top/.cache/pip" TMPDIR="$top/.cache/tmp"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore UV_PYTHON_DOWNLOADS=never
# The machine's own authorities, as pip has them; without the package uv's built-in ones do.
if [ -e /etc/ssl/certs/ca-certificates.crt ]; then export UV_SYSTEM_CERTS=true; fi
unset VIRTUAL_ENV PYTHONHOME PYTHONPATH CONDA_PREFIX 2>/dev/null || true

if command -v flock >/dev/null 2>&1; then
    exec 9>"$state/lock"
    flock -n 9 || { say "another set-up is running; waiting for it"; flock 9; }
fi
trap allow_starts EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

drop_old_policy
wanted=$(digest)
made=no
if [ -r "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then made=yes; fi
debian_packages
[ "$goal" != slow ] || boot_kernel
environment
