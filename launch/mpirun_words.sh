# Sourced by launch/run.sh: what mpirun writes on its own account, as lines of ours with an exit code.

# mpirun writes each of its pages between two lines of 74 dashes.
page_rule=$(printf -- '-%.0s' {1..74})
# What it writes beside them.
page_echo='^[0-9]+ total process.*failed to start$|more process(es)? ha(s|ve) sent help message|orte_base_help_aggregate|^mpirun: Forwarding signal'

# The rest of the page's line that begins with a word: `page_value Node` of "  Node:  vm".
page_value() { sed -n "s/^ *$1: *//p" <<<"$page" | head -n 1; }

# Says what the page in `page` means; sets `page_code` where it is the reason why no rank ran.
translate_page() {
  local flat
  flat=$(tr -s ' \n' '  ' <<<"$page")
  case $flat in
    # The ranks have said why, and the exit code is theirs.
    *"terminated normally, but"*|*"exited with non-zero status"*|*"exiting improperly"*|*"MPI_ABORT was invoked"*) ;;
    *"noticed that process rank"*)
      echo "run: $(sed -E 's/.*process rank ([0-9]+) with PID [0-9]+ on node ([^ ]+) exited on signal ([^.]*)\..*/rank \1 on \2 was ended by signal \3/' <<<"$flat")" ;;
    *"not enough slots"*|*"already filled"*|*"more processes than we can launch"*)
      page_code=2
      echo "run: -n $ranks: expected at most as many ranks as there are slots; found fewer slots; ask for fewer ranks, or more slots (--hosts HOST:SLOTS, sbatch --ntasks)" ;;
    *"not included in the current allocation"*)
      page_code=2
      echo "run: --hosts: expected hosts of this job's allocation; found others" ;;
    *"not access or execute an executable"*|*"could not find the executable"*|*"unable to find the specified executable"*|*"unable to launch the specified application"*)
      page_code=2
      echo "run: $(page_value '\(Executable\|Application name\)'): expected the program on every host; found none on $(page_value Node); the tree has to be at the same path there" ;;
    *"WARNING: a request was made to bind"*) ;;
    *"request was made to bind"*|*"no available cpus"*|*"bindable objects"*|*"cpus per process"*|*"cpus-per-proc"*)
      page_code=2
      echo "run: --bind $bind: expected cores to bind each rank to; found too few on $(page_value Node), or none that may be bound; use --bind none" ;;
    *"mismatch in versions"*)
      page_code=2
      echo "run: expected one version of OpenMPI on every host; found $(page_value 'Local process version') here and $(page_value 'Peer process version') on $(page_value 'Peer host'); install the same there" ;;
    *"unable to reliably start"*|*"daemon has unexpectedly failed"*|*"unable to establish a communication connection"*|*"plm_rsh_agent"*|*"srun"*|*orted*PATH*)
      page_code=4
      echo "run: expected mpirun's daemon (orted) on every host; found one that did not start or could not connect back; look at ssh, the path of OpenMPI there and firewalls" ;;
    *"lost communication with a remote daemon"*|*"How to route a message"*)
      page_code=4
      echo "run: lost the host of $(page_value 'Remote daemon'); see the log there" ;;
    *)
      echo "run: mpirun: $flat" ;;
  esac
}

# Standard error of mpirun and of all ranks, line by line. The exit code is that of a page which says why no rank ran,
# else 0. Signals are for mpirun: this ends with its last word.
translate_mpirun() {
  local line page="" page_code=0 is_page=0 patience=() result
  trap '' INT TERM USR1 HUP
  while :; do
    line="" result=0
    if ((is_page)); then patience=(-t 2); else patience=(); fi  # a page comes at once: a lone rule was a rank's
    IFS= read -r "${patience[@]}" line || result=$?
    if ((result != 0 && is_page)); then printf '%s\n%s' "$page_rule" "$page"; is_page=0 page=""; fi
    if ((result > 0 && result <= 128)) && [[ -z $line ]]; then break; fi
    if [[ $line == "$page_rule" ]]; then
      if ((is_page)); then translate_page; page=""; fi
      is_page=$((1 - is_page))
    elif ((is_page)); then
      page+=$line$'\n'
    elif ((result != 0)); then
      printf '%s' "$line"  # the end, or the rest of it follows
    elif [[ ! $line =~ $page_echo ]]; then
      printf '%s\n' "$line"
    fi
  done >&2
  exit "$page_code"
}

# Refuses more ranks than --hosts, --hostfile or the Slurm job hold, before mpirun does. A host file may leave the number to
# mpirun.
expect_slots() {
  local slots entry num_hosts=0 share names=()
  if [[ -n $hosts ]]; then
    slots=0
    for entry in ${hosts//,/ }; do
      [[ $entry != *:* || $entry =~ :[1-9][0-9]*$ ]] || stop "--hosts: expected HOST:SLOTS with slots from 1 on; found '$entry'"
      [[ $entry == *:* ]] && slots=$((slots + ${entry##*:})) || slots=$((slots + 1))
      names+=("${entry%%:*}") num_hosts=$((num_hosts + 1))
    done
    ((num_hosts > 0)) || stop "--hosts: expected names of hosts; found '$hosts'"
    share=$(((ranks + num_hosts - 1) / num_hosts))
    ((ranks <= slots)) ||
      stop "-n $ranks: expected at most the $slots slot(s) of --hosts $hosts; write $(IFS=,; echo "${names[*]/%/:$share}")"
  elif [[ -n $hostfile ]]; then
    slots=$(sed -E 's/#.*//; s/slots *= */slots=/' "$hostfile" | awk '
      NF { n = ""; for (i = 2; i <= NF; i++) if ($i ~ /^slots=[0-9]+$/) n = substr($i, 7); if (n == "") open = 1; sum += n }
      END { print open ? "" : sum + 0 }')
    [[ -z $slots ]] || ((ranks <= slots)) ||
      stop "-n $ranks: expected at most the $slots slot(s) of --hostfile $hostfile; give its hosts more (slots=N)"
  fi
  [[ -n ${SLURM_JOB_ID:-} ]] || return 0
  slots=${SLURM_TASKS_PER_NODE:-${SLURM_NTASKS:-}}
  [[ -n $slots ]] || return 0
  # "2(x3),1": three nodes with two tasks, one with one
  slots=$(tr ',' '\n' <<<"$slots" | awk -F'[(x)]+' '{ sum += $1 * ($2 == "" ? 1 : $2) } END { print sum + 0 }')
  ((ranks <= slots)) || stop "-n $ranks: expected at most the $slots task(s) of Slurm job $SLURM_JOB_ID; ask Slurm for --ntasks=$ranks"
}
