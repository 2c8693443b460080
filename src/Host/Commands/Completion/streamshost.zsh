#compdef streamshost
# Completion of streamshost in zsh: source <(streamshost completion zsh) after compinit, or this file as _streamshost in a folder of $fpath.
# File names are completed where the program has no suggestion.
_streamshost() {
  local line="${(j: :)words[2,CURRENT]}" reply
  local -a ended begun
  # No space after a suggestion that ends with a colon or an equal sign.
  for reply in ${(f)"$("${words[1]}" "[suggest:${#line}]" "$line" 2>/dev/null)"}; do
    [[ $reply == *[:=] ]] && begun+=("$reply") || ended+=("$reply")
  done
  (( $#begun + $#ended )) || { _files; return }
  compadd -S '' -- $begun
  compadd -- $ended
}
[[ $funcstack[1] == _streamshost ]] && _streamshost "$@" || compdef _streamshost streamshost
