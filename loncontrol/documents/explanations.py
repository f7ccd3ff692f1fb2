"""What each log message means, and what to do: by format, or by module and format where the format alone says nothing.

An empty second text: nothing. The page docs/log-messages.md is made of it; a test fails if a message is missing here.
"""

from __future__ import annotations

from collections.abc import Mapping

# fmt: off
EXPLANATIONS: Mapping[str, tuple[str, str]] = {
    # --- both daemons ---------------------------------------------------------------------------------------
    "%s of %s started with pid %d": ("the daemon serves", ""),
    "%s of %s ended": ("the daemon has ended in order", ""),
    "no pid in the pid file: %s": (
        "its disk is full; the daemon serves all the same, and loncontrol finds it by its lock", "make room"),
    "asked to stop": ("TERM or INT came; the children answer what is under way and end", ""),
    "configuration taken over: %d hosts, %d settings changed": (
        "HUP or USR2: the files were good and count from now on; children that are concerned are replaced", ""),
    "in the configuration: %s": (
        "something in a file is skipped or looks like a mistake; what was read holds all the same",
        "correct what the message names, reload"),
    "configuration not taken over, the old one stays: %s": (
        "HUP or USR2: a file is wrong; the daemon goes on with what it had", "correct what the message names, reload"),
    "configuration not taken over, the old one stays: its reader ended with %d": (
        "the child that reads the files died", "`loncontrol configtest`; if that is good, reload again"),
    "reading the configuration took over %.0f s": (
        "a look-up in DNS hangs", "give the hosts an IP in hosts.tab, or repair the name server; then reload"),
    "these settings count only after a restart: %s": (
        "the new values were read but not taken over", "`loncontrol restart` when it suits"),
    "can't fork: %s; next try in %.0f s": (
        "the machine has no memory or no processes left for us",
        "look at memory, `ulimit -u`, TasksMax of the service"),
    "child %d (%s) did not end within %.0f s and is killed": (
        "lonGrace was over; callers of that child heard con_lost",
        "if it comes often: a slow disk, or lonGrace too small"),
    "a process that is not ours was reaped: %d": ("as process 1 of a container the daemon inherits orphans", ""),
    "this process ends because of an unexpected error": (
        "a bug; the lines that follow in the log say where. The parent forks another child",
        "report it with these lines"),
    "can't go on: %s": (
        "the daemon ended: its port is taken, an address is not this machine's, a directory can't be written",
        "as the message says; then start"),
    "perm log %s can't be written, events are missing from it: %s": (
        "lonnet.perm.log can't be written (said once); delayed messages are safe all the same",
        "make room, or give the file to the daemons' user"),
    # --- lonc -----------------------------------------------------------------------------------------------
    "link to %s is up": ("requests to that host are answered, its delayed messages are delivered", ""),
    "link to %s is lost after %.0f s: %s": (
        "callers heard con_lost, critical messages wait; the link is tried again at once",
        "if it comes again and again: the reason, explained below"),
    "no link to %s: %s": ("the link could not be made; said once for each reason", "the reason, explained below"),
    "host %s is given up after %d failures: %s": (
        "it is tried only every lonRetryMax seconds now, on USR1, and when it connects to us; its messages wait",
        "`loncontrol doctor HOST`; when it is back: `loncontrol retry HOST`"),
    "host %s is new in hosts.tab": ("a reload added it", ""),
    "no slot is free for a child of %s: restart lonc, so that it makes room for all hosts": (
        "reloads have added more hosts than lonc kept room for at its start (as many as it had, and 256). That host, "
        "and maybe others, have no link, or are still served by a child with the old settings; said once for each "
        "configuration",
        "`loncontrol restart`"),
    "host %s is no longer in hosts.tab; its link is closed": (
        "a reload removed it; its delayed messages stay in their file", "if it was by mistake: put its line back"),
    "host %s is paused %s": ("an administrator has paused it (`loncontrol pause`)", ""),
    "host %s is resumed": ("the pause is over", ""),
    "pauses can't be read, those that were known stay: %s": (
        "lonDelayedDir could not be listed: no descriptors, permissions, or a broken disk",
        "see to what the message names; then `loncontrol retry --all`"),
    "child %d of %s ended unexpectedly with %d": (
        "it was killed or died of a bug; another one is forked",
        "if nobody killed it: report it with the lines before"),
    "the socket of %s had vanished and is made again": (
        "somebody deleted the socket in lonSockDir", "find out who cleans there (tmp cleaners)"),
    "can't accept callers: %s; next try in %.0f s": (
        "no descriptors left", "raise LimitNOFILE, or look for callers that do not close"),
    "another process still holds the FIFO of %s; critical messages wait for its end": (
        "the child before this one has not ended yet", "if it stays so: `loncontrol children`, end the older process"),
    "no critical messages to %s: %s": (
        "its FIFO can't be read; critical messages get con_failed, plain requests go on",
        "look at the disk and at the owner of lonDelayedDir"),
    "critical messages to %s can't be recorded: %s": (
        "its FIFO can't be written: callers hear con_failed", "make room on the disk of lonDelayedDir"),
    "delayed message %s was refused (%s) and is kept as failed": (
        "the other side executed it with this refusal; it will not be sent again",
        "`loncontrol queue show HOST ID`; then requeue it (--to OTHER, if its user has moved) or delete it"),
    "messages to %s are postponed: it answers %s": (
        "the other side has no room, is busy, had a read error, or moves that user to another host; messages wait and "
        "are sent again every 30 s",
        "there: its disk, its lond.log; then loncontrol retry HOST"),
    "message %s is held: the link ended %d times under it": (
        "sending it kills the other side's child; the others go on without it",
        "there: lond.log; then `loncontrol queue show HOST ID`, release or delete it"),
    "FIFO was unreadable (%s) and is kept as %s%s; a new one begins": (
        "a file of delayed messages was damaged; what was in it is not delivered",
        "find the cause (disk, power); keep the file: its messages can perhaps be read with sqlite3"),
    "lonc.child: %s": ("the answer to USR1: the state of one link", ""),
    "lonc.parent: %s": ("the answer to USR1: how many links are up", ""),
    # --- lond -----------------------------------------------------------------------------------------------
    "link of %s is open": ("that host's lonc has connected and passed the key exchange", ""),
    "refused a connection: %s %s": (
        "the address is not in hosts.tab, or did not pass the key exchange; said once per address, reason and "
        "londRefusalLogInterval",
        "a member: correct hosts.tab here, or its lonBindAddress there; a stranger: the firewall, or nothing"),
    "refused %d more connections: %s %s": ("how many there were since the last line about this address", "as above"),
    "%s has %d links; the oldest is closed": (
        "more than londMaxLinksPerHost: its old links are dead without our knowing, or two hosts share its address",
        "if it comes again: `loncontrol doctor HOST` there"),
    "%d children are the most there may be; new links wait": (
        "londMaxChildren is reached", "raise it (restart), or find out who opens so many links"),
    "a link could not be handed over: %s": (
        "during a reload; the peer's lonc has lost that link and makes another", ""),
    "child %d (%s) ended unexpectedly with %d": (
        "a child of lond was killed or died of a bug; its link is lost, another child is forked",
        "if nobody killed it: report it with the lines before"),
    "can't accept links: %s; next try in %.0f s": ("no descriptors left", "raise LimitNOFILE"),
    "trust.tab: %s may not use %s on the domain %s: refused": (
        "a host asked for what trust.tab does not allow it; said once per host, class and londRefusalLogInterval",
        "if it should be allowed: trust.tab, reload"),
    "trust.tab: %d more requests of %s in class %s were refused": ("how many there were since", "as above"),
    "internal error in %s: %s": (
        "a bug: the command was answered with an error, the link goes on", "report it with this line"),
    "damaged database %s can't be set aside: %s": (
        "a user's records are damaged and the file can't be renamed; that user gets errors",
        "look at the disk; docs/storage.md"),
    "database %s is damaged (%s), set aside as %s: see docs/storage.md": (
        "a user's records are damaged, or their file is empty; requests on that user get an error until you act",
        "restore that user's file from the backup, as docs/storage.md says"),
    "database %s can't be used: %s": (
        "a newer program has written it, or the file is gone while its -wal is there; requests on that user get an "
        "error; said once by each child",
        "run the newer program, or restore the file: docs/storage.md"),
    "%s can't be read: %s": (
        "the daemons' user may not look there, or the disk is at fault; whoever asked hears the error",
        "look at the owner and mode of the directories above it, as after a restore by root, and at the disk"),
    "passwd of %s:%s: %s": (
        "the passwd file can't be read, or what it says can't be used; the user can't log in; said once an hour",
        "look at the file; lonuser auth writes a new one"),
    "passwd of %s:%s not changed: %s": ("the new file could not be written; the old one counts", "look at the disk"),
    "%s:%s has a new kind of hash": ("after a log-in an old hash was replaced by scrypt", ""),
    "failed log-in of %s from %s, number %d in a row in lane %s": (
        "a wrong password (a name that nobody has is not told, because some type their password there); after "
        "londThrottleAfter of them further ones are told to try again, each lane (known, fresh, strangers) for itself: "
        "docs/authentication.md",
        "many, for many users: somebody guesses, on the host that is named"),
    "log-ins get auth_mode_error: %s": (
        "a type of account can't be checked on this machine; said once for each reason",
        "install what is missing, or change the accounts' type: docs/authentication.md"),
    "%s: a password could not be checked: %s": ("PAM, Kerberos or a local function failed", "look at that service"),
    "%s does not answer; until it does it is asked every %.0f s only": (
        "a Kerberos realm, PAM or a local function hangs; its users hear an error", "look at that service"),
    "a client sent a line that is not a job": ("something else writes to lond's own socket", "find out what does"),
    "internal error in a job: %s at %s:%s": ("a bug in the check of a password", "report it with this line"),
    "lond.child: lond: %s": ("the answer to USR1: the state of one link", ""),
    "lond.parent: %s": ("the answer to USR1: how many links are open", ""),
    "lond: %s, %d jobs": ("the answer to USR1: what a worker has done", ""),
    "journal %s can't be written, executions are missing from it: %s": (
        "`loncontrol trace` will not find what was executed meanwhile (said once); the messages themselves are safe",
        "make room, or give the file to the daemons' user"),
    "an update could not be noted: %s": (
        "the queue of updates can't be written; the host that published will tell us again", "make room in lonDaemons"),
    "the queue of updates can't be used: %s": ("updates of copies wait", "look at the disk and owner of lonDaemons"),
    "the queue of updates was unreadable (%s), kept as %s.%s; %d jobs made anew": (
        "its file was damaged; every copy is compared with its home server's version, so that nothing is missed",
        "find the cause (disk, power); delete the file that was kept"),
    "the queue of updates can't be made anew: %s": (
        "it is damaged, and a new one can't be written", "make room; look at the owner of lonDaemons"),
    "a job for no resource is dropped: %s": ("an entry of the queue of updates is damaged", "report it with this line"),
    "%s of %s failed, next try in %.1f s: %s": (
        "a new version could not be fetched, or subscribers not be told; it is tried again until londUpdateAge is over",
        "if it goes on: `loncontrol doctor` of the resource's home server"),
    "%s of %s given up after %.0f s: %s": (
        "londUpdateAge is over: the outdated copy is deleted, and fetched when somebody wants it again",
        "find out why its home server could not be reached all the time"),
    "copy deleted: %s": ("the home server has the resource no more, or not for this host", ""),
    "copies from %s are not compared with it now: %s": (
        "every lonRenew seconds a copy in use is compared with its home server, which does not answer; the copies stay",
        "loncontrol doctor HOST"),
    "copy of %s can't be compared with that on %s: %s": (
        "as above; its home server answers, but not as it should; the copy stays, and is compared again after lonRenew",
        "publish it again there"),
    "outdated copy of %s could not be deleted: %s": (
        "an old version is still shown here", "delete the file; look at its owner and at the disk"),
    "internal error in %s of %s": ("a bug: this update is tried again later", "report it with the lines that follow"),
    "an uploaded file could not be fetched: %s": (
        "the server where it was uploaded did not give it", "as the message says"),
    "lond: updater, %d jobs": ("the answer to USR1: what a worker has done", ""),
    # --- loncron --------------------------------------------------------------------------------------------
    "%s was missing and runs again with pid %s": (
        "a daemon had died and was started", "its own log: the last lines before"),
    "%s could not be started: %s": ("a daemon that is missing does not come up", "as the message says"),
    "found %s in %.1f s": ("one run of loncron: how many findings of each kind", ""),
    "mail sent to %s": ("the findings went to lonAdmEMail", ""),
    "loncron.run: %s": ("loncron could not do a part of its work; standard error says it too", "as the message says"),
    "check %s failed": ("a bug in one of the checks; the others were made", "report it with the lines that follow"),
    "%d ended sessions deleted": ("files of sessions that nobody uses any more", ""),
    "%d unused copies and %d incomplete files deleted": ("copies nobody used for lonExpire seconds", ""),
    "%s, left by a process that was killed, is deleted": ("an unfinished file, older than lonTemporaryExpire", ""),
    # --- lonnet ---------------------------------------------------------------------------------------------
    "socket of %s can't be reached: %s": (
        "no permission, or no descriptors, in the calling process; it heard con_lost",
        "put the web server's user into the daemons' group"),
    "critical message to %s could not be stored: %s": (
        "there was no lonc, and the FIFO can't be written either: the caller heard con_failed",
        "start lonc; make room in lonDelayedDir, or give the web server's user access"),
    "configuration has changed but is not usable, the old one stays in force: %s": (
        "a web server process found a file wrong", "correct what the message names"),
    "configuration and tables read again: %d hosts": ("a web server process noticed that the files have changed", ""),
    "lonc can't be signalled: it does not run, or belongs to another user": (
        "a page asked for a lost link to be tried again", "start lonc; run the pages as the daemons' user"),
    "no socket of %s after %.0f s, waiting longer": ("a page waits for a link to come back", ""),
    "resource %s, version %d, published; %d subscribers": (
        "an author's resource has a new version; the servers that have a copy are told", ""),
    "%s refuses to hear of the update of %s: %s": (
        "a subscriber does not take notice of a new version, and is not asked again; its readers keep the old one",
        "ask its administrator; if it is not to have the resource, delete it from the file NAME.subscription"),
    "the subscribers of %s are told once more: %s": (
        "a publication is done, but the queue of updates can't be written",
        "make room; look at the owner of lonDaemons"),
    "update of %s: %s": (
        "a server that has a copy could not be told of the new version; it is told later", "as the message says"),
    "%s has no copy of %s (%s); its subscription ends": ("that server has deleted its copy", ""),
    "resource %s, version %d, fetched from %s": ("a copy was made or renewed", ""),
    "copy of %s deleted": ("nobody had used it for lonExpire seconds", ""),
    "copy %s stays: %s": ("an unused copy could not be deleted", "look at the file's owner and at the disk"),
    "log-in of %s from %s": ("a user has a session now", ""),
    "log-out of %s": ("a user has ended the session", ""),
    "failed log-in of %s:%s from %s": (
        "a wrong password, typed in at that address", "many from one address: somebody guesses"),
    "failed log-in of an unknown user from %s": (
        "there is no such user; the name is not told, because some type their password there",
        "many from one address: somebody guesses"),
    "a key for known browsers was made: %s": (
        "the log-in page had none, or a damaged one; browsers are known again after their next log-in", ""),
    "no browser is known at the log-in: %s": (
        "the key of known browsers can't be read or made; people can log in all the same", "look at lonIDsDir"),
    "log-in from %s refused: too many have failed": (
        "that address has to wait; said for each try", "nothing, or the firewall"),
    "log-in of %s is not in the activity log: %s": (
        "the user is in, but the home server could not be told", "look at the link to the home server"),
    "%s deleted from the construction space by %s": ("an author has deleted a file; what is published of it stays", ""),
    "upload of %s by %s": ("an author has put a file into the construction space", ""),
    "%s can't be shown: %s": ("a problem's file is not one that this server understands", "tell its author"),
    "the delivery of %s to %s is not counted: %s": (
        "a resource was delivered; only its counter is wrong", "if it comes again: the disk"),
    "lonnet.handlers.pages: %s %s: %s": (
        "a page could not be shown: a host did not answer, or a user's records can't be read", "as the message says"),
}

# Why a link ended or could not be made: the reason, what it means, what to do.
REASONS: tuple[tuple[str, str, str], ...] = (
    ("connection refused",
     "nobody listens on the peer's address and port",
     "have its lond started; compare londPort and its address in hosts.tab"),
    ("connection timed out, no route to host, network is unreachable",
     "the machine does not answer",
     "look at the network, and at firewalls between the two"),
    ("no key exchange within N s",
     "it accepts, but nobody answers: its lond hangs or is overloaded, or the port is another program's",
     "there: `loncontrol children`, lond.log"),
    ("refused without a word: our address is probably not in its hosts.tab",
     "its lond closed the connection without a byte",
     'there: lond.log says "refused a connection" and the address; correct its hosts.tab, or lonBindAddress here'),
    ("refused: TEXT",
     "its lond answered so to the greeting",
     "as the text says"),
    ("wrong host: ADDRESS answers as HOST",
     "hosts.tab gives another host's address",
     "correct the address; if the host has two names: `alias` in links.tab"),
    ("protocol violated: TEXT",
     "what came is not the protocol of the network",
     "look what listens there"),
    ("nothing received for N s",
     "the link had died without a sign; it is made again",
     "if it comes again and again: the network, or a firewall that forgets quiet connections"),
    ("the other side closed the link, connection reset by peer, broken pipe",
     "its lond was restarted, or its child died",
     "there: lond.log"),
    ("its socket can't be made in DIRECTORY: ERROR",
     "the link could stand, but lonSockDir is gone, or takes no file: nobody could use it",
     "make the directory again as it was, then restart lonc and lond: other files that they share were in it too"),
)
# fmt: on
