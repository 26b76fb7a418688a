# Sourced. mirror SUITE prints where the host itself gets Debian's main archive from. Only the value of
# FLAKE_TEST_MIRROR or of apt's own sources counts; it is never shown, nor kept in an image.
mirror() {
	[ -z "${FLAKE_TEST_MIRROR:-}" ] || { echo "$FLAKE_TEST_MIRROR"; return; }
	command -v apt-get >/dev/null 2>&1 || return 0
	# Non-security archives of Debian in the order of the host's sources; a line that names the suite first.
	apt-get indextargets --format '$(REPO_URI)|$(RELEASE)|$(ORIGIN)|$(COMPONENT)' \
		'Created-By: Packages' 2>/dev/null |
		awk -F'|' -v suite="$1" '
			$4 != "main" || $2 ~ /security/ || ($3 != "" && $3 != "Debian") { next }
			$2 == suite { best = $1; exit }
			any == "" { any = $1 }
			END { print best != "" ? best : any }'
}
