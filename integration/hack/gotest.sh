#!/bin/sh
# Runs `go test -v ARGS...` and keeps its word short: a line a package, failures in full, and at the
# end every skipped test with its reason, so that a skip never looks like a pass. Status of go test.
#
#   gotest.sh [go test arguments]...        the whole output is kept in FLAKE_TEST_LOG, if set
set -u
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
log=${FLAKE_TEST_LOG:-$work/log}

{ go test -v "$@" 2>&1; echo $? >"$work/status"; } | tee "$log" |
	grep --line-buffered -E '^(ok|FAIL|panic:|\?.*no test files$|#|--- FAIL)|^[^[:space:]]+\.go:[0-9]+:[0-9]+:' |
	grep --line-buffered -v 'no test files'
status=$(cat "$work/status" 2>/dev/null || echo 1)

if [ "$status" != 0 ]; then
	echo
	echo "What failed:"
	# A test's output stands between its RUN line and its verdict; with -v a failed parent repeats none.
	awk '
		/^=== (RUN|CONT|NAME|PAUSE)/ { name = $3; if ($2 == "RUN") text[name] = ""; next }
		/^[[:space:]]*--- FAIL: / { failed[$3] = 1; order[++n] = $3; next }
		/^[[:space:]]*--- (PASS|SKIP): / { next }
		/^(panic:|fatal error:|FAIL|ok)/ { if ($1 ~ /^(panic:|fatal)/) loud = 1 }
		loud { print; next }
		{ if (name != "") text[name] = text[name] $0 "\n" }
		END { for (i = 1; i <= n; i++) if (text[order[i]] != "") printf "--- FAIL: %s\n%s", order[i], text[order[i]] }
	' "$log" | head -400
fi

# A test that runs its binary once more logs verdicts too. They are not indented as their names say.
own='function own() { match($0, /^ */); return RLENGTH <= 4 * gsub("/", "/", $3) }
'
awk "$own"'
	/^=== (RUN|CONT|NAME)/ { name = $3; next }
	/^[[:space:]]*--- SKIP: / { if (own()) print "  " $3 ": " reason[$3]; next }
	/^[[:space:]]+[^[:space:]]+\.go:[0-9]+: / { line = $0; sub(/^[[:space:]]+/, "", line); reason[name] = line }
' "$log" >"$work/skips"
if [ -s "$work/skips" ]; then
	echo
	echo "SKIPPED, and why ($(wc -l <"$work/skips") tests):"
	cat "$work/skips"
fi
echo
passed=$(awk "$own"'/^[[:space:]]*--- PASS: / && own() { n++ } END { print n + 0 }' "$log")
failed=$(awk "$own"'/^[[:space:]]*--- FAIL: / && own() { n++ } END { print n + 0 }' "$log")
skipped=$(wc -l <"$work/skips")
word=ok
[ "$status" = 0 ] || word=FAIL
echo "$word: $passed passed, $failed failed, $skipped skipped"
exit "$status"
