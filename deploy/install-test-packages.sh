#!/usr/bin/env bash
# Installs what builds, tests, labs and benches call: ip, bridge, nft, iptables-nft, ping, sysctl, nsenter,
# unshare, openssl, curl, iperf3, valgrind, chromium, promtool, a C linker.
# Does nothing where all of it is there.
set -euo pipefail

declare -A package=([strip]=binutils [ip]=iproute2 [bridge]=iproute2 [nft]=nftables [iptables-nft]=iptables
    [ping]=iputils-ping [nsenter]=util-linux [unshare]=util-linux [setpriv]=util-linux
    [sysctl]=procps [cc]=gcc [openssl]=openssl [curl]=curl [iperf3]=iperf3 [valgrind]=valgrind
    [chromium]=chromium)
missing=()
for program in "${!package[@]}"; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing+=("${package[$program]}")
done
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
# Of Debian's prometheus only the one program that checks rules is wanted, and no service: it is taken out of the package.
promtool=()
command -v promtool >/dev/null || promtool=(promtool)
[ $((${#missing[@]} + ${#promtool[@]})) -eq 0 ] && exit 0

[ ${#missing[@]} -eq 0 ] || mapfile -t missing < <(printf '%s\n' "${missing[@]}" | sort -u)
as_root=()
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || {
        echo "please install, as root: ${missing[*]} ${promtool[*]:+and promtool (Debian package prometheus)}" >&2
        exit 2
    }
    as_root=(sudo)
fi
echo "installing ${missing[*]} ${promtool[*]}"
export DEBIAN_FRONTEND=noninteractive
"${as_root[@]}" apt-get update -qq
[ ${#missing[@]} -eq 0 ] ||
    "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
if [ ${#promtool[@]} -ne 0 ]; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && apt-get download -qq prometheus && dpkg-deb -x prometheus_*.deb .)
    "${as_root[@]}" install -m 755 "$folder/usr/bin/promtool" /usr/local/bin/promtool
fi
