#!/usr/bin/env bash
# Builds the programs of Kubernetes that tests run, once, from published Go modules, and prints the folder that has
# them: `build.sh newest` (the default) with etcd, kube-apiserver, kube-controller-manager, kube-proxy, kubectl, flannel,
# CNI plugins and helm; `build.sh oldest` with the oldest Kubernetes that Causeway is tried on, and etcd and kubectl of the
# newest. They lie outside the checkout, in a folder whose name follows from everything that goes into it; a link beside
# it, `newest` or `oldest`, leads to the one that was asked for last.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
which=${1:-newest}
case $which in
    newest) kubernetes=v1.37.2 ;;
    oldest) kubernetes=v1.33.13 ;;
    *)
        echo "usage: build.sh [newest|oldest]" >&2
        exit 2
        ;;
esac
flannel=v0.28.10 helm=v4.3.1 cilium=v1.20.2

if ! command -v go >/dev/null || ! go version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])|go[2-9]'; then
    echo "tests on real API servers need Go 1.26 or newer (found: $(go version 2>/dev/null || echo none)); install it," >&2
    echo "or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager, kube-proxy and kubectl" >&2
    exit 1
fi
export GOTOOLCHAIN=local CGO_ENABLED=1

cache=${XDG_CACHE_HOME:-$HOME/.cache}/causeway/kubernetes
beside=
[ "$which" = newest ] || beside=$("$here/build.sh" newest)

inputs() {
    go version
    echo "$beside"
    cd "$here" && sha256sum build.sh
    cd "$which" && find . -type f \( -name '*.go' -o -name 'go.*' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}
folder=$cache/$which-$(inputs | sha256sum | cut -c1-16)

build() {
    echo "building Kubernetes $kubernetes for tests, once; this takes some minutes" >&2
    # The same flags for everything: each change of them compiles everything anew.
    local flags=(-p 2 -trimpath -buildvcs=false -gcflags=all=-dwarf=false)
    # Without a version the API server calls itself v0.0.0.
    local link="-s -w -X github.com/flannel-io/flannel/pkg/version.Version=$flannel" minor=${kubernetes#v1.} package part
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        link="$link -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        link="$link -X $package.gitTreeState=clean -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
    done
    if [ "$which" = newest ]; then
        (cd "$here/newest" && go build "${flags[@]}" -ldflags "$link" -o "$folder/" . tool) >&2
        GOBIN=$folder go install "${flags[@]}" -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@$helm" >&2
        for part in etcd kube-apiserver kube-controller-manager kube-proxy kubectl; do
            ln -sf test-kubernetes "$folder/$part"
        done
        definitions
    else
        # The other programs are the newest ones.
        for part in "$beside"/*; do
            ln -sf "$part" "$folder/"
        done
        (cd "$here/oldest" && go build "${flags[@]}" -ldflags "$link" -o "$folder/oldest-kubernetes" .) >&2
        for part in kube-apiserver kube-controller-manager kube-proxy; do
            ln -sf oldest-kubernetes "$folder/$part"
        done
    fi
    touch "$folder/.complete"
}

# Definitions that a CNI publishes in its module; nothing of it is built.
definitions() {
    local module part
    mkdir -p "$folder/crds"
    module=$(cd "$folder/crds" && go mod init causeway.dev/definitions 2>/dev/null &&
        go mod download -json "github.com/cilium/cilium@$cilium" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    rm "$folder/crds/go.mod"
    for part in v2/ciliumnodes v2alpha1/ciliumpodippools; do
        install -m 644 "$module/pkg/k8s/apis/cilium.io/client/crds/$part.yaml" "$folder/crds/"
    done
}

if [ ! -e "$folder/.complete" ]; then
    mkdir -p "$folder"
    # Two who come at once build once.
    exec 9>"$folder/.lock"
    flock 9
    [ -e "$folder/.complete" ] || build
fi
ln -sfn "$(basename "$folder")" "$cache/$which"
echo "$folder"
