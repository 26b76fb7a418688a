# The delta `aws`, made as KIWI makes deltas: overlay over what it is derived from, install, take a
# snapshot, uninstall, list what the snapshot had and the result has not, pack the upper directory
# alone and without whiteouts.

upper=$OUT/tree/delta
stack "$OUT/root" "$upper" \
	"$BOOKWORM/rootfs" "$BASEPYTHON/tree/2-interpreter" "$BASEPYTHON/tree/3-library"
furnish "$OUT/root"
apt "$OUT/root" update
apt "$OUT/root" install awscli ca-certificates openssl

# snapshot FILE: every file that exists when looked at through its links, with size and time.
snapshot() {
	# shellcheck disable=SC2016 # expanded in the image
	chroot "$OUT/root" find / -xdev ! -type d \( ! -type l -o -xtype f \) \
		-printf '%P\t%s\t%T@\n' | LC_ALL=C sort >"$1"
}

snapshot "$OUT/before"
# Only the bundle that update-ca-certificates wrote outlives a mere removal (dpkg does not own it):
# purged, so that it is the host's own that the app sees.
chroot "$OUT/root" dpkg --force-depends --force-unsafe-io --purge ca-certificates openssl
snapshot "$OUT/after"
unfurnish "$OUT/root"
umount "$OUT/root"
rm -rf "$upper.work" "$upper"/var/log/* "$upper"/tmp/*

# Changed files count as vanished too, as with KIWI's rsync; these two are always in its lists.
{
	printf '%s\n' kiwi_apt.config etc/hosts etc/resolv.conf
	LC_ALL=C comm -23 "$OUT/before" "$OUT/after" | cut -f1 | grep -v '^var/log/' | LC_ALL=C sort
} >"$upper/removed"
rm "$OUT/before" "$OUT/after"
cp "$upper/removed" "$OUT/removed"
printf 'kiwi_iname=aws\n' >"$upper/.profile"

"$MKIMAGE" layer --whiteouts drop --output "$OUT/layers/1-delta.tar" "$upper"
"$MKIMAGE" image --output "$OUT/aws.tar" --name aws:latest --cmd /bin/bash "$OUT/layers/1-delta.tar"
rm -rf "$OUT/tree"
rmdir "$OUT/root"
