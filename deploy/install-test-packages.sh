#!/usr/bin/env bash
# Installs what builds, tests, labs and benches call: ip, bridge, nft, iptables-nft, ping, sysctl, nsenter,
# unshare, openssl, curl, iperf3, valgrind, a C linker.
# Does nothing where all of it is there.
set -euo pipefail

declare -A package=([strip]=binutils [ip]=iproute2 [bridge]=iproute2 [nft]=nftables [iptables-nft]=iptables
    [ping]=iputils-ping [nsenter]=util-linux [unshare]=util-linux [setpriv]=util-linux
    [sysctl]=procps [cc]=gcc [openssl]=openssl [curl]=curl [iperf3]=iperf3 [valgrind]=valgrind)
missing=()
for program in "${!package[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ ${#missing[@]} -eq 0 ] && exit 0

mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "please install, as root: apt-get install ${missing[*]}" >&2
        exit 2
    }
    as_root=(sudo)
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
"${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
