# Sourced by build.sh inside a private mount and pid namespace, before a recipe.
# From build.sh: OUT (result), BOOKWORM and BASEPYTHON (their directories in the cache; there when a
# recipe is built on them), APT (shared lists and packages), MIRROR, SUITE, MKIMAGE.

export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
unset LANG LANGUAGE TMPDIR || :
if _proxy=$(apt-config shell P Acquire::http::Proxy 2>/dev/null) && [ -n "$_proxy" ]; then
	eval "$_proxy"
	export http_proxy="$P"
fi

# stack TARGET UPPER LOWER...: mounts an overlay of the LOWERs (bottom first) with UPPER at TARGET.
stack() {
	_target=$1 _upper=$2
	shift 2
	_lower=
	for _l in "$@"; do _lower=$_l${_lower:+:$_lower}; done
	mkdir -p "$_target" "$_upper" "$_upper.work"
	mount -t overlay overlay -o "lowerdir=$_lower,upperdir=$_upper,workdir=$_upper.work" "$_target"
}

# furnish ROOT: what apt and dpkg need of the machine, by mounts, so that nothing stays in ROOT.
furnish() {
	mount -t proc proc "$1/proc"
	mount --rbind /dev "$1/dev"
	mkdir -p "$1/var/lib/apt/lists" "$1/var/cache/apt/archives"
	mount --bind "$APT/lists" "$1/var/lib/apt/lists"
	mount --bind "$APT/archives" "$1/var/cache/apt/archives"
	for _f in /etc/resolv.conf /etc/hosts; do
		[ -e "$_f" ] || continue
		[ -e "$1$_f" ] || : >"$1$_f"
		mount --bind "$(readlink -f "$_f")" "$1$_f"
	done
	mount -t tmpfs tmpfs "$1/etc/apt/sources.list.d"
	echo "deb $MIRROR $SUITE main" >"$1/etc/apt/sources.list.d/recipe.list"
}

# apt ROOT ARGS...: apt-get in ROOT, without waiting for the disk after each file.
apt() {
	_root=$1
	shift
	chroot "$_root" apt-get -q -y --no-install-recommends \
		-o Dpkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root \
		-o Acquire::Languages=none -o Acquire::Retries=3 \
		-o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
		-o APT::Keep-Downloaded-Packages=true "$@"
}

# unfurnish ROOT: takes the machine's mounts away again, nearest first.
unfurnish() {
	for _m in proc dev var/lib/apt/lists var/cache/apt/archives etc/resolv.conf etc/hosts etc/apt/sources.list.d; do
		! mountpoint -q "$1/$_m" || umount -R "$1/$_m"
	done
}
