#!/bin/sh
# Gets what a virtual machine of a Debian release is made of, once, and keeps it outside the repository: packages are
# unpacked, none is installed.
#
#   fetch.sh SUITE [ARCH]     SUITE: bookworm trixie    ARCH: amd64 (the default) arm64
#
# Prints a directory: vmlinuz, the kernel's modules in modules/, and root/, which holds a static busybox, AppArmor's parser
# with its C library, and AppArmor's own files; busybox32 is the busybox of the architecture's 32-bit kin. For arm64 there is sysroot/ as well, what our programs are linked with: musl,
# for which sysroot/musl-gcc compiles, and libseccomp. It is made beside the cache and renamed, so it is complete or absent.
# Status: 0 it is there, 3 this machine can't have it: the last line on stderr says why.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
suite=${1:?} arch=${2:-amd64}
cache=${FLAKE_TEST_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/flake-launcher/images}
dir=$cache/vm-$suite-$arch-$(sha256sum "$0" | cut -c1-16)
. "$here/../images/mirror.sh"

unavailable() { printf 'vm: cannot get the packages of %s for %s: %s\n' "$suite" "$arch" "$*" >&2; exit 3; }

case $arch in
amd64) triplet=x86_64-linux-gnu loader=lib64/ld-linux-x86-64.so.2 small=i386 more= ;;
arm64) triplet=aarch64-linux-gnu loader=lib/ld-linux-aarch64.so.1 small=armhf more="musl-dev libseccomp-dev" ;;
*) unavailable "nobody has said how" ;;
esac

if [ -d "$dir" ]; then
	touch "$dir"
	echo "$dir"
	exit
fi
for program in apt-get apt-cache dpkg-deb xz; do
	command -v $program >/dev/null 2>&1 || unavailable "program '$program' is missing; they come by Debian's own"
done
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] || unavailable "Debian's keys are missing (package debian-archive-keyring)"
MIRROR=$(mirror "$suite")
[ -n "$MIRROR" ] || unavailable "no Debian package mirror is configured on this host (set FLAKE_TEST_MIRROR)"

tmp=$cache/.tmp-vm-$$
trap 'rm -rf "$tmp"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$tmp/lists/partial" "$tmp/archives/partial" "$tmp/unpacked" "$tmp/out/modules"
echo "deb [signed-by=$keyring] $MIRROR $suite main" >"$tmp/sources.list"
: >"$tmp/status"

# apt COMMAND...: apt-get or apt-cache of that release alone.
apt() {
	_command=$1
	shift
	"$_command" -q -o Dir::Etc::sourcelist="$tmp/sources.list" -o Dir::Etc::sourceparts=/dev/null \
		-o Dir::State::lists="$tmp/lists" -o Dir::State::status="$tmp/status" -o Dir::Cache="$tmp" \
		-o Acquire::Languages=none -o Acquire::Retries=3 -o APT::Architecture=$arch -o APT::Architectures::=$arch -o APT::Architectures::=$small -o APT::Sandbox::User=root "$@"
}

apt apt-get update -o APT::Update::Error-Mode=any >"$tmp/log" 2>&1 || unavailable "the host's package mirror does not answer"
kernel=$(apt apt-cache depends "linux-image-cloud-$arch" 2>/dev/null | awk '$1 == "Depends:" { print $2; exit }')
[ -n "$kernel" ] || unavailable "the host's package mirror has no kernel of $suite"
# shellcheck disable=SC2086 # a list of packages
(cd "$tmp" && apt apt-get download "$kernel" busybox-static "busybox-static:$small" apparmor libc6 $more) >"$tmp/log" 2>&1 ||
	unavailable "the host's package mirror failed"
dpkg-deb -x "$tmp"/busybox-static_*_"$small".deb "$tmp/small"
rm "$tmp"/busybox-static_*_"$small".deb
for package in "$tmp"/*.deb; do dpkg-deb -x "$package" "$tmp/unpacked"; done

cp "$tmp"/unpacked/boot/vmlinuz-* "$tmp/out/vmlinuz"
for module in overlay loop; do
	find "$tmp/unpacked" -name "$module.ko*" -exec cp {} "$tmp/out/modules" \;
done
for module in "$tmp"/out/modules/*.xz; do [ ! -e "$module" ] || xz -d "$module"; done

# Of the libraries the parser needs one and its loader. Links to directories come to lie where Debian has them by now.
root=$tmp/out/root
mkdir -p "$root/usr/bin" "$root/usr/sbin" "$root/usr/lib64" "$root/usr/lib/$triplet" "$root/etc"
for link in bin sbin lib64; do ln -s "usr/$link" "$root/$link"; done
ln -s usr/lib "$root/lib"
take() { # FILE of the packages, wherever it lies in them; as TO
	_from=$(find "$tmp/unpacked" -path "*/$1" ! -type l | head -1)
	[ -n "$_from" ] || unavailable "their packages have no $1"
	cp -p "$_from" "$root/$2"
}
cp "$(find "$tmp/small" -path "*/bin/busybox" ! -type l)" "$tmp/out/busybox32"
take bin/busybox usr/bin/busybox
take sbin/apparmor_parser usr/sbin/apparmor_parser
take "lib/$triplet/libc.so.6" "usr/lib/$triplet/libc.so.6"
take "lib/$triplet/${loader##*/}" "usr/$loader"
cp -R "$tmp/unpacked/etc/apparmor" "$root/etc"
mkdir "$root/usr/share"
cp -R "$tmp/unpacked/usr/share/apparmor-features" "$root/usr/share"
mkdir "$root/etc/apparmor.d"
for part in abi abstractions tunables; do cp -R "$tmp/unpacked/etc/apparmor.d/$part" "$root/etc/apparmor.d"; done
find "$root" -type d -exec chmod 0755 {} +

# The compiler's specifications lead to where packages are installed, which here is a directory.
if [ -n "$more" ]; then
	sysroot=$tmp/out/sysroot musl=usr/lib/${triplet%gnu}musl
	mkdir -p "$sysroot/usr/lib/$triplet" "$sysroot/usr/include"
	cp -R "$tmp/unpacked/$musl" "$sysroot/usr/lib"
	cp -R "$tmp/unpacked/usr/include/${triplet%gnu}musl" "$tmp"/unpacked/usr/include/seccomp*.h "$sysroot/usr/include"
	cp -R "$tmp/unpacked/usr/lib/$triplet/libseccomp.a" "$tmp/unpacked/usr/lib/$triplet/pkgconfig" "$sysroot/usr/lib/$triplet"
	sed -i "s#/usr/#$dir/sysroot/usr/#g" "$sysroot/$musl/musl-gcc.specs"
	printf '#!/bin/sh\nexec %s-gcc "$@" -specs "%s"\n' "$triplet" "$dir/sysroot/$musl/musl-gcc.specs" >"$sysroot/musl-gcc"
	chmod 0755 "$sysroot/musl-gcc"
fi

mv -T "$tmp/out" "$dir" 2>/dev/null || [ -d "$dir" ] # another test may have been quicker
# Of an earlier version of this file, unless a test of that has been there within the month.
find "$cache" -mindepth 1 -maxdepth 1 -name "vm-$suite-*" ! -path "$dir" -mtime +30 -exec rm -rf {} +
echo "$dir"
