# Completion of streamshost in bash: source <(streamshost completion bash), or this file in /usr/share/bash-completion/completions/streamshost.
# File names are completed where the program has no suggestion.
_streamshost() {
  local line=${COMP_LINE:0:COMP_POINT} reply
  # The program's own arguments begin after its name.
  line=${line#*"${COMP_WORDS[0]}"}
  line=${line#"${line%%[![:space:]]*}"}
  # bash splits words at colons and equal signs, and replaces the last part only: what is before it is not repeated.
  local word=${line##*[[:space:]]} aside
  aside=${word%"${word##*[:=]}"}
  COMPREPLY=()
  while IFS= read -r reply; do
    [[ -z $reply ]] || COMPREPLY+=("${reply#"$aside"}")
  done < <("${COMP_WORDS[0]}" "[suggest:${#line}]" "$line" 2>/dev/null)
  # No space after a suggestion that ends with a colon or an equal sign.
  [[ ${#COMPREPLY[@]} != 1 || ${COMPREPLY[0]} != *[:=] ]] || compopt -o nospace
}
complete -o default -F _streamshost streamshost
