# Debian 11, minbase: a base whose C library (2.31) is older than those of hosts. One layer.

root=$OUT/rootfs
mkdir -p "$root/etc/dpkg/dpkg.cfg.d"
echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/recipe"

debootstrap --variant=minbase --cache-dir="$APT/archives" "$SUITE" "$root" "$MIRROR"

# What debootstrap took from this machine, and what only fills the layer.
rm -f "$root/etc/dpkg/dpkg.cfg.d/recipe" "$root/etc/hostname"
rm -f "$root"/var/cache/apt/archives/*.deb "$root"/var/cache/apt/*.bin "$root"/var/log/bootstrap.log
rm -rf "$root"/var/lib/apt/lists/* "$root"/dev/*
echo '# filled in by whoever builds on this image' >"$root/etc/apt/sources.list"
: >"$root/etc/resolv.conf"
echo '127.0.0.1 localhost' >"$root/etc/hosts"

"$MKIMAGE" layer --output "$OUT/layers/1-base.tar" "$root"
"$MKIMAGE" image --output "$OUT/bullseye.tar" --name bullseye:latest --cmd /bin/bash \
	--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	"$OUT/layers/1-base.tar"
