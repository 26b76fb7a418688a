# Completion of flake-ctl and flake-run for bash 4.3 or newer.

_flake_ctl() {
	local words=() word gap rest cur add i line
	# COMP_WORDS is cut at = and : as well: what the line does not cut is put together again.
	rest=${COMP_LINE:0:COMP_POINT}
	for ((i = 0; i <= COMP_CWORD; i++)); do
		if ((i == COMP_CWORD)); then
			word=${rest#"${rest%%[![:space:]]*}"}
			gap=${rest%"$word"}
		else
			word=${COMP_WORDS[i]}
			gap=${rest%%"$word"*}
			rest=${rest#*"$word"}
		fi
		if ((i > 0)) && [[ -z $gap ]]; then
			words[-1]+=$word
		else
			words+=("$word")
		fi
	done
	cur=${words[-1]}
	COMPREPLY=()
	{
		IFS= read -r add || return 0
		while IFS= read -r line; do
			COMPREPLY+=("${line%%$'\t'*}")
		done
	} < <(command flake-ctl complete "${words[0]##*/}" "${words[@]:1}" 2>/dev/null)
	# Readline replaces what follows the last of these characters only.
	local prefix=
	case $cur in
	*[:=]*)
		prefix=${cur%"${cur##*[:=]}"}
		COMPREPLY=("${COMPREPLY[@]#"$prefix"}")
		;;
	esac
	case $add in
	files | dirs)
		local flag=-f
		[[ $add == files ]] || flag=-d
		compopt -o filenames 2>/dev/null
		while IFS= read -r line; do
			COMPREPLY+=("$line")
		done < <(compgen "$flag" -- "${cur#"$prefix"}")
		;;
	esac
}

complete -F _flake_ctl flake-ctl flake-run
