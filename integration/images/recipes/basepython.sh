# Python on the Debian base: three layers, of which the lowest is the base's own.

base=$BOOKWORM/rootfs
for step in 2-interpreter:python3-minimal 3-library:python3,python3-pip; do
	layer=${step%%:*} packages=$(echo "${step#*:}" | tr , " ")
	# shellcheck disable=SC2086 # lists of directories and packages
	stack "$OUT/root" "$OUT/tree/$layer" "$base" ${below:-}
	furnish "$OUT/root"
	[ "$layer" != 2-interpreter ] || apt "$OUT/root" update
	apt "$OUT/root" install $packages
	unfurnish "$OUT/root"
	umount "$OUT/root"
	rm -rf "$OUT/tree/$layer.work" "$OUT/tree/$layer"/var/log/* "$OUT/tree/$layer"/tmp/*
	"$MKIMAGE" layer --whiteouts oci --output "$OUT/layers/$layer.tar" "$OUT/tree/$layer"
	below="${below:-} $OUT/tree/$layer"
done
rmdir "$OUT/root"
cp --reflink=auto "$BOOKWORM/layers/1-base.tar" "$OUT/layers/1-base.tar"

"$MKIMAGE" image --output "$OUT/basepython.tar" --name basepython:latest --cmd python3 \
	--env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env PYTHONUNBUFFERED=1 \
	"$OUT/layers/1-base.tar" "$OUT/layers/2-interpreter.tar" "$OUT/layers/3-library.tar"
