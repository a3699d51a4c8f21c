# SPDX-License-Identifier: Apache-2.0
# Programs that tests, drills and benches run, made by the Go toolchain as ordinary, pinned modules and kept in
# the cache. Sourced by script/setup after lib.sh. A module's own go.sum holds the checksums of all that it needs; its
# own is here.
# shellcheck shell=bash

# Runs in a scratch folder: makes package $3 of the module $1 at $2, with its go.sum's two lines in $4, and moves the
# program to $5.
build_go_module() {
  local module=$1 version=$2 package=$3 sums=$4 program=$5 source go
  local -x GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=mod
  go=$(find_go 1.24) || { echo "there is no Go 1.24 or newer" && return 1; }
  printf 'module envdial.invalid/%s\n\ngo 1.24.0\n\nrequire %s %s\n' "${program##*/}" "$module" "$version" >go.mod
  printf '%s\n' "$sums" >go.sum
  "$go" mod download "$module" || return
  source=$("$go" list -m -f '{{.Dir}}' "$module") || return
  cat "$source/go.sum" >>go.sum || return
  "$go" build -trimpath -ldflags '-s -w' -o program "$package" || return
  mkdir -p "$(dirname "$program")" && mv program "$program"
}

# Kubernetes' own go.mod replaces modules of its by folders beside it; here each is the module that was published of it,
# with its checksum in script/kubernetes.sum. The CRDs of the Prometheus Operator are files of its module. $1: the
# folder to make.
build_kubernetes() {
  local folder=$1 go source module
  local kubernetes=k8s.io/kubernetes operator=github.com/prometheus-operator/prometheus-operator
  local -x GOTOOLCHAIN=local GOWORK=off GOFLAGS=-mod=mod
  go=$(find_go 1.26) || { echo "there is no Go 1.26 or newer" && return 1; }
  printf 'module envdial.invalid/kubernetes\n\ngo 1.26.0\n\nrequire %s v1.36.1\n' "$kubernetes" >go.mod
  cp "${top:?}/script/kubernetes.sum" go.sum || return
  "$go" mod download "$kubernetes" || return
  source=$("$go" list -m -f '{{.Dir}}' "$kubernetes") || return
  cat "$source/go.sum" >>go.sum || return
  sed -n 's|^\t\(k8s.io/[a-z-]*\) => ./staging/.*|replace \1 => \1 v0.36.1|p' "$source/go.mod" >>go.mod || return
  mkdir out && cp "${top:?}/tests/drill/kubelet_env.go" . || return
  # Without a version helm and kubectl cannot talk to it.
  "$go" build -trimpath -ldflags '-s -w -X k8s.io/component-base/version.gitVersion=v1.36.1' -o out/ \
    k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl || return
  "$go" build -trimpath -ldflags '-s -w' -o out/kubelet-env kubelet_env.go || return
  printf 'module envdial.invalid/operator\n\ngo 1.24.0\n\nrequire %s v0.75.0\n' "$operator" >go.mod
  cp "${top:?}/script/kubernetes.sum" go.sum || return
  "$go" mod download "$operator" || return
  module=$("$go" list -m -f '{{.Dir}}' "$operator") || return
  install -m 644 -D -t out/crds "$module"/example/prometheus-operator-crd/*_{podmonitors,prometheusrules}.yaml || return
  unpack_etcd || return
  rm -rf -- "$folder" && mv out "$folder"
}

# Debian's etcd, fetched and checked by apt and unpacked: installed, it would be started as a service.
unpack_etcd() {
  local download=(apt-get -q -o APT::Sandbox::User=root download etcd-server)
  "${download[@]}" || { as_root apt-get update -q && "${download[@]}"; } || return
  dpkg-deb -x etcd-server_*.deb etcd && mv etcd/usr/bin/etcd out/
}

# Prints the program $2, which the variable $1 names; false if it names none.
named() {
  [[ -n $2 ]] || return 1
  [[ -x $2 ]] || die "$1=$2 is not a program that runs here"
  printf '%s\n' "$2"
}

# Prints the path of helm.
find_helm() {
  local program
  if named HELM "${HELM:-}"; then return; fi
  program=$(cache_dir)/helm-3.19.0/helm
  provide "$program" "helm 3.19.0 (a minute)" build_go_module helm.sh/helm/v3 v3.19.0 helm.sh/helm/v3/cmd/helm \
    'helm.sh/helm/v3 v3.19.0 h1:krVyCGa8fa/wzTZgqw0DUiXuRT5BPdeqE/sQXujQ22k=
helm.sh/helm/v3 v3.19.0/go.mod h1:Lk/SfzN0w3a3C3o+TdAKrLwJ0wcZ//t1/SDXAvfgDdc=' "$program"
}

# Prints the path of kubeconform.
find_kubeconform() {
  local program
  if named KUBECONFORM "${KUBECONFORM:-}"; then return; fi
  program=$(cache_dir)/kubeconform-0.7.0/kubeconform
  provide "$program" "kubeconform 0.7.0 (seconds)" build_go_module github.com/yannh/kubeconform v0.7.0 \
    github.com/yannh/kubeconform/cmd/kubeconform \
    'github.com/yannh/kubeconform v0.7.0 h1:ZFfniR8VChrWQxaxTUGnNrxw8RIDkjVBrjdhXSamwjw=
github.com/yannh/kubeconform v0.7.0/go.mod h1:oHO1wjM16sTRW6s41HJUox+tD69qOTE5ZVQ9HeqX+xM=' "$program"
}

# Prints the path of consul-template, beside which script/bench and script/drill peers measure.
find_consul_template() {
  local program
  if named CONSUL_TEMPLATE "${CONSUL_TEMPLATE:-}"; then return; fi
  program=$(cache_dir)/consul-template-0.41.1/consul-template
  provide "$program" "consul-template 0.41.1 (half a minute)" build_go_module github.com/hashicorp/consul-template \
    v0.41.1 github.com/hashicorp/consul-template \
    'github.com/hashicorp/consul-template v0.41.1 h1:6VM6kzyBt7xpHfeSjuSRFO6X0/pPdIy+AJpNlM8PekM=
github.com/hashicorp/consul-template v0.41.1/go.mod h1:RUPYCBLEnJVxzkJ2O52A20rGEx/K2oz16mPiuRCUWZA=' "$program"
}

# Prints the path of a folder with kube-apiserver, kubectl, kubelet-env, etcd and crds/.
find_kubernetes() {
  local folder
  folder=$(cache_dir)/kubernetes-1.36.1
  provide "$folder/kube-apiserver" "Kubernetes' API server 1.36.1 (4 to 10 minutes)" build_kubernetes "$folder" >&2
  printf '%s\n' "$folder"
}

# Makes sure that the program $1 is there, which is $2, by the rest of the arguments, and prints its path.
provide() {
  local program=$1 what=$2
  shift 2
  mkdir -p "$(cache_dir)"
  (
    [[ -x $program ]] && exit
    flock 9 # another setup may be making it right now
    [[ -x $program ]] && exit
    say "building $what into $(cache_dir), once"
    in_scratch "$@" 9>&-
  ) 9>"$(cache_dir)/lock.${program##*/}" >&2 ||
    die "$program could not be made: it needs a Go toolchain of 1.24 or newer (for Kubernetes 1.26) that can fetch modules,
on the PATH or in /usr/local/go. HELM, KUBECONFORM and CONSUL_TEMPLATE may name programs of yours"
  printf '%s\n' "$program"
}
