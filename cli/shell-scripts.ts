/**
 * The completion scripts. They are all the same small thing: hand what is typed to `accrete complete`, and take its words as they are. No
 * word is ever evaluated: a file in the data folder may be named `$(reboot).csv`.
 */

const BASH = `# Tab completion of accrete for bash. In ~/.bashrc: source <(accrete completion bash)
_accrete() {
  local kind line
  COMPREPLY=()
  {
    IFS= read -r kind
    while IFS= read -r line; do COMPREPLY+=("$line"); done
  } < <("\${COMP_WORDS[0]}" complete bash -- "\${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
  case $kind in
    files) compopt -o default 2>/dev/null ;;
    objects) compopt -o filenames 2>/dev/null ;;
  esac
  if [[ \${#COMPREPLY[@]} -eq 1 && \${COMPREPLY[0]} == */ ]]; then compopt -o nospace 2>/dev/null; fi
  return 0
}
complete -F _accrete accrete
`;

const ZSH = `#compdef accrete
# Tab completion of accrete for zsh. In ~/.zshrc, after compinit: source <(accrete completion zsh)
_accrete() {
  local kind line value
  local -a out values shown folders
  out=("\${(@f)$("\${words[1]}" complete zsh -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)}")
  kind=\${out[1]}
  shift out
  if [[ $kind == files ]]; then
    _files
    return
  fi
  for line in "\${out[@]}"; do
    value=\${line%%$'\\t'*}
    [[ -z $value ]] && continue
    if [[ $value == */ ]]; then
      folders+=("$value")
    else
      values+=("$value")
      shown+=("$value  \${line#*$'\\t'}")
    fi
  done
  compadd -V folders -S '' -a folders
  compadd -V values -l -d shown -a values
}
if [[ \${funcstack[1]} == _accrete ]]; then _accrete; else compdef _accrete accrete; fi
`;

const FISH = `# Tab completion of accrete for fish. accrete completion fish > ~/.config/fish/completions/accrete.fish
function __accrete_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l out ($words[1] complete fish -- $words[2..-1] "$current" 2>/dev/null)
    if test "$out[1]" = files
        __fish_complete_path "$current"
    else if set -q out[2]
        printf '%s\\n' $out[2..-1]
    end
end
complete -c accrete -f -k -a '(__accrete_complete)'
`;

export const COMPLETION_SCRIPTS = { bash: BASH, zsh: ZSH, fish: FISH } as const;
