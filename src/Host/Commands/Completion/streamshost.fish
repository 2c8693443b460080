# Completion of streamshost in fish: streamshost completion fish | source, or this file in a folder of $fish_complete_path.
# File names are completed where the program has no suggestion.
function __streamshost_suggest
    set --local words (string split --max 1 --no-empty ' ' -- (commandline --cut-at-cursor --current-process))
    set --local line (string trim --left -- "$words[2]")
    set --global __streamshost_suggestions ($words[1] "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null | string match --regex '.+')
end
complete --command streamshost --condition __streamshost_suggest --no-files --arguments '$__streamshost_suggestions'
