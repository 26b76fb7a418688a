# Completion of flake-ctl and flake-run for fish.

function __flake_ctl
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l program (string replace -r '.*/' '' -- $words[1])
    set -e words[1]
    set -l answer (command flake-ctl complete $program $words "$current" 2>/dev/null)
    set -l add $answer[1]
    set -e answer[1]
    for line in $answer
        echo $line
    end
    set -l prefix (string match -r -- '^--[^=]*=' "$current")
    set -l value (string replace -- "$prefix" '' "$current")
    switch "$add"
        case files
            __fish_complete_path "$value" | string replace -r '^' -- "$prefix"
        case dirs
            __fish_complete_directories "$value" | string replace -r '^' -- "$prefix"
    end
end

complete -c flake-ctl -f -a '(__flake_ctl)'
complete -c flake-run -f -a '(__flake_ctl)'
