# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_rehearsal_global_optspecs
    string join \n q/quiet v/verbose h/help V/version
end

function __fish_rehearsal_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_rehearsal_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_rehearsal_using_subcommand
    set -l cmd (__fish_rehearsal_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c rehearsal -n "__fish_rehearsal_needs_command" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "run" -d 'Rehearse a release'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "check" -d 'Read a scenario and its SQL, and see whether this machine has all it needs; starts no server'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "up" -d 'Bring a scenario\'s nodes up, restore the snapshot, run the setup, and leave them running'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "down" -d 'Take a lab down that `up` or `run --keep` left running'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "report" -d 'Write any report of a recorded run again, from its event log alone'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "diff" -d 'Compare schema and data of two databases'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "snapshot" -d 'Take a snapshot of production, or look at one'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "doctor" -d 'Say what this machine can rehearse, and how to get the rest; starts and makes nothing'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "ls" -d 'List the labs on this machine, live and left behind'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "clean" -d 'Remove what killed runs left: servers, containers, volumes, folders. Baselines are for `rehearsal cache prune`'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "cache" -d 'Restored clusters that later runs begin with: list them, remove them'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "explain" -d 'Explain a finding: what was seen, what it does, what to do instead'
complete -c rehearsal -n "__fish_rehearsal_needs_command" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l lab -d 'Where the servers run' -r -f -a "native\t'Plain processes of the servers installed here'
docker\t'Containers'
auto\t'Docker if an engine answers and an image can be had, else native'"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l out -d 'Folder for the run\'s files [default: .rehearsal/runs/ID]' -r -F
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l format -d 'What standard output carries at the end' -r -f -a "terminal\t''
json\t''
markdown\t''
html\t''
junit\t''
events\t'The recorded events, one a line'"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l cache-size -d 'How much of restored clusters stays on this machine for later runs' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l keep -d 'Leave the servers running for a look; `rehearsal down` takes them down'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l show-values -d 'Let row values and literals of error messages into logs and reports'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -l no-cache -d 'Restore anew, and keep nothing for later runs'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand run" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -l lab -r -f -a "native\t'Plain processes of the servers installed here'
docker\t'Containers'
auto\t'Docker if an engine answers and an image can be had, else native'"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -l format -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand check" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -l lab -d 'Where the servers run' -r -f -a "native\t'Plain processes of the servers installed here'
docker\t'Containers'
auto\t'Docker if an engine answers and an image can be had, else native'"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -l format -d 'What standard output carries at the end' -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -l cache-size -d 'How much of restored clusters stays on this machine for later runs' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -l no-cache -d 'Restore anew, and keep nothing for later runs'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand up" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand down" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand down" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand down" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand down" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -l format -r -f -a "terminal\t''
json\t''
markdown\t''
html\t''
junit\t''
events\t'The recorded events, one a line'"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -l write -d 'Write report.json, report.md, report.html and junit.xml into the run\'s folder as well'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand report" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -l tables -d 'Only these tables' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -l format -d 'What standard output carries; JSON holds the keys of differing rows as well' -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -l samples -d 'Show the values of up to N differing rows a table' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -l schema -d 'Compare the schema; without --schema and --data both are compared'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -l data -d 'Compare the tables\' content'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand diff" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -f -a "capture" -d 'Read a live database into a folder that scenarios restore'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -f -a "inspect" -d 'Say what is in a snapshot'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -f -a "verify" -d 'See whether a snapshot is still as it was written: every hash and count'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and not __fish_seen_subcommand_from capture inspect verify help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l out -d 'The snapshot\'s folder' -r -F
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l rules -d 'Mask rows by this rules file; what may be personal and no rule decides about stops the capture' -r -F
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l draft -d 'Where such columns are, write a draft of rules for them to this file' -r -F
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l workers -d 'Sessions that read at the same time [default: one a core, 8 at most]' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l rate -d 'Read no more than this of rows, as 20MB/s' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l format -d 'What standard output carries at the end' -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -l unmasked -d 'Copy rows as they are'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from capture" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -l format -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from inspect" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -l format -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from verify" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "capture" -d 'Read a live database into a folder that scenarios restore'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "inspect" -d 'Say what is in a snapshot'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "verify" -d 'See whether a snapshot is still as it was written: every hash and count'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand snapshot; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand doctor" -l format -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand doctor" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand doctor" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand doctor" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand doctor" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand ls" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand ls" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand ls" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand ls" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand clean" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand clean" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand clean" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand clean" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -f -a "ls" -d 'List baselines: their size, when they were made and last used, and of what they are'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -f -a "prune" -d 'Remove all baselines that no running or kept lab uses, or some of them'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and not __fish_seen_subcommand_from ls prune help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from ls" -l format -r -f -a "text\t''
json\t''"
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from ls" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from ls" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from ls" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from ls" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -l unused-for -d 'Only those that no run has begun with for so long: 12h, 7d' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -l to -d 'Only the longest unused, until the others together take no more than that: 2GB' -r
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from prune" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "ls" -d 'List baselines: their size, when they were made and last used, and of what they are'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "prune" -d 'Remove all baselines that no running or kept lab uses, or some of them'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand cache; and __fish_seen_subcommand_from help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand explain" -s q -l quiet -d 'Say less: no progress, only the result'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand explain" -s v -l verbose -d 'Say more on standard error; twice for still more'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand explain" -s h -l help -d 'Print help'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand explain" -s V -l version -d 'Print version'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "run" -d 'Rehearse a release'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "check" -d 'Read a scenario and its SQL, and see whether this machine has all it needs; starts no server'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "up" -d 'Bring a scenario\'s nodes up, restore the snapshot, run the setup, and leave them running'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "down" -d 'Take a lab down that `up` or `run --keep` left running'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "report" -d 'Write any report of a recorded run again, from its event log alone'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "diff" -d 'Compare schema and data of two databases'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "snapshot" -d 'Take a snapshot of production, or look at one'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "doctor" -d 'Say what this machine can rehearse, and how to get the rest; starts and makes nothing'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "ls" -d 'List the labs on this machine, live and left behind'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "clean" -d 'Remove what killed runs left: servers, containers, volumes, folders. Baselines are for `rehearsal cache prune`'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "cache" -d 'Restored clusters that later runs begin with: list them, remove them'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "explain" -d 'Explain a finding: what was seen, what it does, what to do instead'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and not __fish_seen_subcommand_from run check up down report diff snapshot doctor ls clean cache explain help" -f -a "help" -d 'Print this message or the help of the given subcommand(s)'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "capture" -d 'Read a live database into a folder that scenarios restore'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "inspect" -d 'Say what is in a snapshot'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and __fish_seen_subcommand_from snapshot" -f -a "verify" -d 'See whether a snapshot is still as it was written: every hash and count'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and __fish_seen_subcommand_from cache" -f -a "ls" -d 'List baselines: their size, when they were made and last used, and of what they are'
complete -c rehearsal -n "__fish_rehearsal_using_subcommand help; and __fish_seen_subcommand_from cache" -f -a "prune" -d 'Remove all baselines that no running or kept lab uses, or some of them'
