# Sourced by launch/run.sh: which hosts answer, when a run may start again (--restarts), with which words, and where.

# 4: a peer or device failed; from 128 on a signal ended a rank or mpirun.
may_restart() { (($1 == 4 || $1 >= 128)); }

# The words after --, in `command`: train goes on from the newest checkpoint of its run folder, if there is one; only
# without one does --init count.
resume_automatically() {
  [[ ${command[0]} == train && " ${command[*]} " != *" --resume"[\ =]* ]] || return 0
  command+=(--resume auto)
}

# Of the run's newest checkpoint; nothing where it cannot be told.
newest_step() {
  [[ ${command[0]} == train ]] || return 0
  timeout 60 "$binary" "${command[@]}" --newest-step 2>/dev/null | grep -xE '[0-9]+' || true
}

# A full disk or too little memory come back at every try: where two in a row end before another checkpoint, a third would.
step_after_last_try=""
advances() {
  local code=$1 step
  step=$(newest_step)
  if [[ -n $step && $step == "$step_after_last_try" ]]; then
    echo "run: exit code $code; no restart: expected a checkpoint later than step $step, with which the try before began;" \
      "found none; mend what the message above says, then go on with --resume auto" >&2
    return 1
  fi
  step_after_last_try=$step
}

# What mpirun starts on other hosts' behalf: the first of OpenMPI's list that is there.
launch_agent() {
  local list=${OMPI_MCA_plm_rsh_agent:-${OMPI_MCA_pls_rsh_agent:-${OMPI_MCA_orte_rsh_agent:-"ssh : rsh"}}} agents one words
  IFS=: read -ra agents <<<"$list"
  for one in "${agents[@]}"; do
    read -ra words <<<"$one"
    if command -v "${words[0]}" >/dev/null; then echo "${words[@]}"; return; fi
  done
  echo ssh
}

# Read once, at the start: an address is no longer listed when its interface is down.
own_names=" localhost $(hostname 2>/dev/null) $(hostname -s 2>/dev/null) $(hostname -I 2>/dev/null) "
is_this_host() { [[ $1 == 127.* || $own_names == *" $1 "* ]]; }

answers() {
  local agent
  is_this_host "$1" && return
  read -ra agent <<<"$(launch_agent)"
  # No password prompt may hold it up; the agent is killed with what it started.
  timeout -k 1 "$host_timeout" "${agent[@]}" "$1" true </dev/null >/dev/null 2>&1
}

# Lines "host slots" of --hosts or --hostfile; a host without a count gets its share of the ranks.
hosts_and_slots() {
  if [[ -n $hosts ]]; then tr ',' '\n' <<<"$hosts" | tr ':' ' '; else sed -E 's/#.*//; s/slots *= */slots=/' "$hostfile"; fi |
    awk -v ranks="$ranks" '
      NF == 0 { next }
      { if (!($1 in slots)) order[++n] = $1
        count = ""
        for (i = 2; i <= NF; i++) if ($i ~ /^(slots=)?[0-9]+$/) { count = $i; sub("slots=", "", count) }
        if (count == "") unknown[$1] = 1
        slots[$1] += count }
      END { for (i = 1; i <= n; i++) print order[i], (order[i] in unknown ? int((ranks + n - 1) / n) : slots[order[i]]) }'
}

# Under another name, as mpirun would find out.
resolves_to_this_host() {
  local address
  while read -r address _; do
    if is_this_host "$address"; then return; fi
  done < <(timeout "$host_timeout" getent ahosts "$1")
  return 1
}

# Those of --hosts or --hostfile that give no sign of life, one a line; all are asked at once.
silent_hosts() {
  local host
  while read -r host _; do
    { answers "$host" || resolves_to_this_host "$host" || echo "$host"; } &
  done < <(hosts_and_slots)
  wait
}

# Before the first start a host that does not answer is rather a wrong name than a lost host, so nothing is left out. Under
# Slurm mpirun starts its daemons with srun, and ssh need not work.
expect_answers() {
  local silent
  [[ -n $hosts$hostfile && -z ${SLURM_JOB_ID:-} ]] || return 0
  mapfile -t silent < <(silent_hosts | sort)
  ((${#silent[@]} > 0)) || return 0
  echo "run: expected an answer from every host; found none within $host_timeout s from ${silent[*]};" \
    "mend what \`$(launch_agent) ${silent[0]} true\` says, or leave them out of --hosts or --hostfile" >&2
  exit 4
}

# Leaves out of `hosts` what does not answer, and makes `ranks` the largest number that the slots left hold and that
# divides the old one, as batch.micro_batches then stays divisible. Fails when nobody is left.
keep_answering_hosts() {
  local host slots left=() lost=() total=0 fewer others=0
  [[ -n $hosts$hostfile ]] || return 0
  while read -r host slots; do
    if ! answers "$host"; then lost+=("$host"); continue; fi
    left+=("$host:$slots") total=$((total + slots))
    is_this_host "$host" || others=1
  done < <(hosts_and_slots)
  ((${#lost[@]} > 0)) || return 0
  echo "run: no answer within $host_timeout s from ${lost[*]}" >&2
  step_after_last_try=""  # without them it may go better
  ((total > 0)) || return 1
  fewer=$((total < ranks ? total : ranks))
  while ((ranks % fewer != 0)); do fewer=$((fewer - 1)); done
  hosts=$(IFS=,; echo "${left[*]}") hostfile=""
  if ((fewer < ranks)); then echo "run: $fewer rank(s) instead of $ranks, on $hosts" >&2; fi
  ranks=$fewer
  # Alone, mpirun need not recognise this host by an address that may be gone.
  if ((!others)); then hosts=""; fi
}

# Everything between two runs; fails when there is no other.
prepare_restart() {
  local code=$1
  ((num_restarts < restarts)) && may_restart "$code" && advances "$code" || return 1
  num_restarts=$((num_restarts + 1))
  resume_automatically
  echo "run: exit code $code; restart $num_restarts of $restarts in $pause_s s: ${command[*]}" >&2
  sleep "$pause_s"
  if ! keep_answering_hosts; then echo "run: no host is left" >&2; return 1; fi
}
