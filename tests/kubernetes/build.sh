#!/usr/bin/env bash
# Builds the programs of Kubernetes that tests run (etcd, kube-apiserver, kube-controller-manager, kube-proxy,
# kubectl, flannel, CNI plugins, helm) from published Go modules, once, and prints the folder that has them. It
# lies outside the checkout; its name follows from everything that goes into it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
kubernetes=v1.37.2 flannel=v0.28.10 helm=v4.3.1

if ! command -v go >/dev/null || ! go version | grep -qE 'go1\.(2[6-9]|[3-9][0-9])|go[2-9]'; then
    echo "tests on real API servers need Go 1.26 or newer (found: $(go version 2>/dev/null || echo none)); install it," >&2
    echo "or set KUBEBUILDER_ASSETS to a folder with etcd, kube-apiserver, kube-controller-manager, kube-proxy and kubectl" >&2
    exit 1
fi
export GOTOOLCHAIN=local CGO_ENABLED=1

inputs() {
    go version
    cd "$here" && find . -type f \( -name '*.go' -o -name 'go.*' -o -name '*.sh' \) -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
}
key=$(inputs | sha256sum | cut -c1-16)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/causeway/kubernetes
folder=$cache/$key
if [ ! -e "$folder/.complete" ]; then
    mkdir -p "$folder"
    # Two who come at once build once.
    exec 9>"$folder/.lock"
    flock 9
fi
if [ ! -e "$folder/.complete" ]; then
    echo "building Kubernetes $kubernetes for tests, once; this takes some minutes" >&2
    # The same flags for everything: each change of them compiles everything anew.
    flags=(-p 2 -trimpath -buildvcs=false -gcflags=all=-dwarf=false)
    # Without a version the API server calls itself v0.0.0.
    link="-s -w -X github.com/flannel-io/flannel/pkg/version.Version=$flannel"
    minor=${kubernetes#v1.}
    for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
        link="$link -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
        link="$link -X $package.gitTreeState=clean -X $package.gitCommit=unknown -X $package.buildDate=1970-01-01T00:00:00Z"
    done
    (cd "$here" && go build "${flags[@]}" -ldflags "$link" -o "$folder/" . tool) >&2
    GOBIN=$folder go install "${flags[@]}" -ldflags "-s -w" "helm.sh/helm/v4/cmd/helm@$helm" >&2
    for part in etcd kube-apiserver kube-controller-manager kube-proxy kubectl; do
        ln -sf test-kubernetes "$folder/$part"
    done
    touch "$folder/.complete"
fi
echo "$folder"
