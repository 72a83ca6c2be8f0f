#!/usr/bin/env bash
# Builds the one image of Causeway, which holds all its programs, without a container engine: as an OCI image
# layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
#
#   build.sh [OPTION]... OUTDIR
#     --libc musl|glibc   musl: static programs and nothing else. glibc: with the libraries that they
#                         need, from Debian's packages on this machine. Default: musl if that target
#                         of Rust and its C compiler are there, else glibc
#     --profile NAME      release (default) or dev
#     --binaries DIR      take programs from DIR instead of building them
#     --rootfs-only       write the root file system into OUTDIR, and no image
#     --tar FILE          also write the layout as one file, for `ctr image import`, `podman load`, `skopeo`
#     --name NAME         name and tag in the layout (default causeway:latest)
#
# The same sources, tools and SOURCE_DATE_EPOCH (default: the time of the last commit) give the same bytes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
top=$(cd "$here/../.." && pwd)
programs=(causeway causeway-agent causeway-controller-manager causeway-network-manager)
libc='' profile=release binaries='' rootfs_only='' tar='' name=causeway:latest out=''

fail() {
    echo "build.sh: $*" >&2
    exit 2
}

while [ $# -gt 0 ]; do
    case $1 in
    --libc) libc=$2 && shift ;;
    --profile) profile=$2 && shift ;;
    --binaries) binaries=$2 && shift ;;
    --rootfs-only) rootfs_only=yes ;;
    --tar) tar=$2 && shift ;;
    --name) name=$2 && shift ;;
    -*) fail "unknown option $1" ;;
    *) [ -z "$out" ] || fail "more than one OUTDIR" && out=$1 ;;
    esac
    shift
done
[ -n "$out" ] || fail "no OUTDIR"
[ ! -e "$out" ] || [ -z "$(ls -A "$out")" ] || fail "$out is not empty"

machine=$(uname -m)
case $machine in
x86_64) architecture=amd64 ;;
aarch64) architecture=arm64 ;;
*) fail "no image for $machine" ;;
esac
target=$machine-unknown-linux-musl
git() { command git -c safe.directory='*' -C "$top" "$@" 2>/dev/null; }
: "${SOURCE_DATE_EPOCH:=$(git log -1 --format=%ct || echo 0)}"
export SOURCE_DATE_EPOCH
created=$(date --utc --date="@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
revision=$(git rev-parse HEAD || echo unknown)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$top/Cargo.toml" | head -1)

has_musl() {
    [ -d "$(rustc --print sysroot)/lib/rustlib/$target" ] && command -v musl-gcc >/dev/null
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/rootfs
mkdir -p "$root/usr/bin"

# Programs.
if [ -z "$binaries" ]; then
    : "${libc:=$(if has_musl; then echo musl; else echo glibc; fi)}"
    flags=(--locked --profile "$profile" --bins -p causeway-cli -p causeway-agent
        -p causeway-network-manager -p causeway-controller-manager)
    folder=$([ "$profile" = dev ] && echo debug || echo "$profile")
    built=${CARGO_TARGET_DIR:-$top/target}
    # What a panic says must not depend on where it was built.
    export RUSTFLAGS="--remap-path-prefix=$top=. --remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    case $libc in
    musl)
        has_musl || fail "no musl: rustup target add $target, and apt-get install musl-tools"
        export "CC_${target//-/_}=musl-gcc"
        (cd "$top" && cargo build "${flags[@]}" --target "$target")
        binaries=$built/$target/$folder
        ;;
    glibc)
        (cd "$top" && cargo build "${flags[@]}" --target "$machine-unknown-linux-gnu")
        binaries=$built/$machine-unknown-linux-gnu/$folder
        ;;
    *) fail "--libc is musl or glibc, not $libc" ;;
    esac
fi
for program in "${programs[@]}"; do
    [ -x "$binaries/$program" ] || fail "no program $binaries/$program"
    strip --strip-debug -o "$root/usr/bin/$program" "$binaries/$program"
done

# The libraries that they need, if any, where they ask for them.
packages=()
while read -r library; do
    mkdir -p "$root$(dirname "$library")"
    cp --dereference "$library" "$root$library"
    package=$(dpkg-query --search "$(realpath "$library")" 2>/dev/null | head -1 | cut -d: -f1) || true
    [ -z "$package" ] || packages+=("$(dpkg-query --show --showformat='${Package}=${Version}' "$package" | head -1)")
done < <(for program in "${programs[@]}"; do
    ldd "$root/usr/bin/$program" 2>/dev/null | grep -oE '/[^ ]+' || true
done | sort -u)

# Who is who, and certificates of public authorities, for a hub behind one. They are Debian's own, not what was
# added on this machine.
mkdir -p "$root/etc/ssl/certs" "$root/var/lib/causeway"
printf 'root:x:0:0::/:/usr/sbin/nologin\nnonroot:x:65532:65532::/:/usr/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
if [ -d /usr/share/ca-certificates/mozilla ]; then
    find /usr/share/ca-certificates/mozilla -name '*.crt' | LC_ALL=C sort | xargs cat >"$root/etc/ssl/certs/ca-certificates.crt"
fi
find "$root" -type d -exec chmod 755 {} +
find "$root" -type f -exec chmod u=rwX,go=rX {} +

mkdir -p "$out"
if [ -n "$rootfs_only" ]; then
    cp --archive "$root/." "$out/"
    exit 0
fi

# The layout: blobs by digest, and an index that names them.
mkdir -p "$out/blobs/sha256"
digest() { sha256sum "$1" | cut -d' ' -f1; }
size() { stat --format=%s "$1"; }
store() { # FILE: moves it to where its digest says, and prints that
    local digest
    digest=$(digest "$1")
    mv "$1" "$out/blobs/sha256/$digest"
    chmod 644 "$out/blobs/sha256/$digest"
    echo "$digest"
}
archive() { # DIR: its content, the same whoever packs it and when
    tar --create --directory "$1" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 \
        --numeric-owner --format=gnu .
}

archive "$root" >"$work/layer.tar"
diff_id=$(digest "$work/layer.tar")
gzip --no-name <"$work/layer.tar" >"$work/layer.tar.gz"
layer_size=$(size "$work/layer.tar.gz")
layer=$(store "$work/layer.tar.gz")

labels='"org.opencontainers.image.title":"causeway"'
labels+=",\"org.opencontainers.image.description\":\"Links Kubernetes clusters at layer 3\""
labels+=",\"org.opencontainers.image.licenses\":\"Apache-2.0\""
labels+=",\"org.opencontainers.image.version\":\"$version\""
labels+=",\"org.opencontainers.image.revision\":\"$revision\""
labels+=",\"org.opencontainers.image.created\":\"$created\""
[ ${#packages[@]} -eq 0 ] ||
    labels+=",\"causeway.dev/packages\":\"$(printf '%s\n' "${packages[@]}" | sort -u | paste -sd' ')\""
printf '{"architecture":"%s","os":"linux","created":"%s","config":{"Env":["PATH=/usr/bin"],"WorkingDir":"/","Labels":{%s}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"%s","created_by":"deploy/image/build.sh"}]}' \
    "$architecture" "$created" "$labels" "$diff_id" "$created" >"$work/config.json"
config_size=$(size "$work/config.json")
config=$(store "$work/config.json")

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
    "$config" "$config_size" "$layer" "$layer_size" >"$work/manifest.json"
manifest_size=$(size "$work/manifest.json")
manifest=$(store "$work/manifest.json")

printf '{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:%s","size":%s,"platform":{"architecture":"%s","os":"linux"},"annotations":{"org.opencontainers.image.ref.name":"%s","io.containerd.image.name":"%s"}}]}' \
    "$manifest" "$manifest_size" "$architecture" "${name##*:}" "$name" >"$out/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$out/oci-layout"
[ -z "$tar" ] || archive "$out" >"$tar"
echo "$name sha256:$manifest, $((layer_size / 1024)) KiB packed, $(($(stat --format=%s "$work/layer.tar") / 1024)) KiB unpacked" >&2
