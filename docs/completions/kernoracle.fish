# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_kernoracle_global_optspecs
    string join \n h/help V/version
end

function __fish_kernoracle_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_kernoracle_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_kernoracle_using_subcommand
    set -l cmd (__fish_kernoracle_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c kernoracle -n "__fish_kernoracle_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -s V -l version -d 'Print version'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "run" -d 'Predict every switch of the running kernel, and show it live'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "record" -d 'Record the events of the running kernel into a trace file'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "replay" -d 'Predict the switches of a trace file, with the same output as run'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "eval" -d 'Score model and baselines on trace files'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "doctor" -d 'Say what this kernel and this user can do'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "completions" -d 'Print the completions of a shell'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "log-fields" -d 'Print the fields of the JSON log, with their meaning and units'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "man" -d 'Write the man pages, one for each command'
complete -c kernoracle -n "__fish_kernoracle_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l duration -d 'End after this time, such as 30s' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l cpu -d 'Only these CPUs, such as 0,2-3' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l ring-size -d 'Size of the ring between kernel and daemon: a power of two' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l latency -d 'How long an event may wait in the ring while little happens' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l rt-prio -d 'Real-time priority (SCHED_FIFO) of the thread that reads events, so that it comes in time on a CPU with hundreds of runnable tasks; 0: niceness -20 instead' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l window -d 'Switches in the rolling window of each CPU' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l model -d 'Start from the weights in this file (safetensors) instead of untrained ones' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l seed -d 'Seed of the untrained weights, of the learner, and of the choice of log lines' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l engine -d 'What computes the forward step' -r -f -a "plain\t'Plain arrays; the same numbers, several times faster'
candle\t'candle\'s own LSTM, the reference'"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l learn-cpu -d 'Share of one CPU that learning may use' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l save-model -d 'At the end, write the weights to this file (safetensors)' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l samples-per-second -d 'Log at most so many scored switches a second a CPU, chosen evenly; 0 for none' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l task -d 'Log only switches that concern a task whose comm/pid matches (scores are of all)' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l log-format -d 'How the log is written; the fields of json are in docs/log-fields.md' -r -f -a "text\t'For a person'
json\t'One JSON object a line'"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l log-file -d 'Write the log to this file (appending) instead of standard output' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l log-rotation -d 'Begin a new log file with the hour or the day (UTC) in its name' -r -f -a "never\t''
hourly\t''
daily\t''"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l predictions -d 'Write every prediction with its outcome to this file, one JSON object a line' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l include-self -d 'Keep the switches from and to this program'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l no-learn -d 'Keep the weights as they are'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -l every-switch -d 'Log every scored switch, not a sample'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -s o -l output -d 'The trace file; an old one is replaced' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l duration -d 'End after this time, such as 30s' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l cpu -d 'Only these CPUs, such as 0,2-3' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l ring-size -d 'Size of the ring between kernel and daemon: a power of two' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l latency -d 'How long an event may wait in the ring while little happens' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l rt-prio -d 'Real-time priority (SCHED_FIFO) of the thread that reads events, so that it comes in time on a CPU with hundreds of runnable tasks; 0: niceness -20 instead' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -l include-self -d 'Keep the switches from and to this program'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand record" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l window -d 'Switches in the rolling window of each CPU' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l model -d 'Start from the weights in this file (safetensors) instead of untrained ones' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l seed -d 'Seed of the untrained weights, of the learner, and of the choice of log lines' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l engine -d 'What computes the forward step' -r -f -a "plain\t'Plain arrays; the same numbers, several times faster'
candle\t'candle\'s own LSTM, the reference'"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l learn-every -d 'A learning step after every so many scored switches' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l save-model -d 'At the end, write the weights to this file (safetensors)' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l samples-per-second -d 'Log at most so many scored switches a second a CPU, chosen evenly; 0 for none' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l task -d 'Log only switches that concern a task whose comm/pid matches (scores are of all)' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l log-format -d 'How the log is written; the fields of json are in docs/log-fields.md' -r -f -a "text\t'For a person'
json\t'One JSON object a line'"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l log-file -d 'Write the log to this file (appending) instead of standard output' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l log-rotation -d 'Begin a new log file with the hour or the day (UTC) in its name' -r -f -a "never\t''
hourly\t''
daily\t''"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l predictions -d 'Write every prediction with its outcome to this file, one JSON object a line' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l no-learn -d 'Keep the weights as they are'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -l every-switch -d 'Log every scored switch, not a sample'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand replay" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l warm-up -d 'Share of each file\'s switches that the second set of figures leaves out' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l window -d 'Switches in the rolling window of each CPU' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l model -d 'Start from the weights in this file (safetensors) instead of untrained ones' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l seed -d 'Seed of the untrained weights, of the learner, and of the choice of log lines' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l engine -d 'What computes the forward step' -r -f -a "plain\t'Plain arrays; the same numbers, several times faster'
candle\t'candle\'s own LSTM, the reference'"
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l learn-every -d 'A learning step after every so many scored switches' -r
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l json -d 'Print JSON; the fields are in docs/log-fields.md'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -l no-learn -d 'Keep the weights as they are'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand eval" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand log-fields" -s h -l help -d 'Print help'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand man" -l out -d 'The directory; it is made if it is not there' -r -F
complete -c kernoracle -n "__fish_kernoracle_using_subcommand man" -s h -l help -d 'Print help'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "run" -d 'Predict every switch of the running kernel, and show it live'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "record" -d 'Record the events of the running kernel into a trace file'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "replay" -d 'Predict the switches of a trace file, with the same output as run'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "eval" -d 'Score model and baselines on trace files'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "doctor" -d 'Say what this kernel and this user can do'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "completions" -d 'Print the completions of a shell'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "log-fields" -d 'Print the fields of the JSON log, with their meaning and units'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "man" -d 'Write the man pages, one for each command'
complete -c kernoracle -n "__fish_kernoracle_using_subcommand help; and not __fish_seen_subcommand_from run record replay eval doctor completions log-fields man help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
