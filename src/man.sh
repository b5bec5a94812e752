#!/bin/sh
# SPDX-License-Identifier: MIT
#
# src/man.sh PROGRAM FOLDER: writes the man pages of PROGRAM (build/tiketi) into FOLDER: tiketi(1), a page for each command
# that `tiketi --help` lists, and tiketi.ini(5) with all settings. All of it is from --help, so that a page cannot differ
# from the program; what a page adds (files, exit status, where to read on) is below. In mdoc(7); `mandoc -T lint` is
# quiet about all of them (test/integration/install.test.mjs).
#
# The form of --help that this reads: "Usage: …"; paragraphs; items, indented by two: a name, and at least two blanks or the column
# of its table before what is said of it; a line right above items is their title. The date is that of SOURCE_DATE_EPOCH,
# else of the commit, else of CHANGELOG.md. DOCDIR: where the documents are, by default /usr/share/doc/tiketi.

set -eu
export LC_ALL=C

program=$(realpath "${1:?}")
folder=${2:?}
cd "$(dirname "$0")/.."

seconds=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || stat -c %Y CHANGELOG.md)}
date=$(date -u -d "@$seconds" '+%B %-d, %Y')
version=$(src/version.sh | cut -d ' ' -f 1)

# body: --help on standard input as mdoc. Without the usage and what is said elsewhere in the page. Options become a section
# (-v section=Sh) or a list (Ss: within one).
body() {
    awk -v section="${1:-Sh}" '
        function text(s) {
            gsub(/\\/, "\\e", s)
            gsub(/--/, "\\-\\-", s)
            gsub(/\342\200\246/, "...", s)
            while (match(s, /`[^`]+`/))
                s = substr(s, 1, RSTART - 1) "\\fB" substr(s, RSTART + 1, RLENGTH - 2) "\\fP" substr(s, RSTART + RLENGTH)
            gsub(/[.] /, ".\n", s)
            if (s ~ /^[.\x27]/) s = "\\&" s
            return s
        }
        # A name and its values as arguments of .It
        function tag(s,    words, n, i, out) {
            n = split(s, words, " ")
            for (i = 1; i <= n; i++) {
                if (words[i] ~ /^--/) out = out " Fl \\-" substr(words[i], 3)
                else if (words[i] ~ /^\[?[A-Z][A-Z.=]*\]?$/ && i > 1) out = out " Ar \\&" words[i]
                else out = out (i > 1 ? " " : " Ic ") "\\&" words[i]
            }
            return out
        }
        function end_list() {
            if (in_list) print ".El"
            in_list = 0
        }
        function begin_list(option) {
            end_list()
            if (option && section == "Sh" && !had_options++) print ".Sh OPTIONS"
            print ".Bl -tag -width Ds"
            in_list = 1
        }
        # The paragraph so far; title: items follow.
        function flush_paragraph(title) {
            if (paragraph == "") return
            end_list()
            if (title && paragraph !~ /[.:]$/) print ".Ss " paragraph
            else print (printed ? ".Pp\n" : "") text(paragraph)
            printed = 1
            paragraph = ""
        }
        NR == 1 { next } # the usage
        skip { if ($0 == "") skip = 0; next }
        /^(Exit codes:|Besides:|`tiketi( ctl)? COMMAND --help`)/ { skip = 1; next }
        $0 == "" { flush_paragraph(0); after_blank = 1; next }
        /^               / { sub(/^ +/, ""); print text($0); next } # goes on
        /^  [^ ]/ {
            flush_paragraph(1)
            option = /^  --/
            line = substr($0, 3)
            if (substr($0, 23, 1) == " " && substr($0, 24, 1) ~ /[^ ]/ && substr($0, 3, 20) !~ /   *[^ ]/) cut = 20
            else if (substr($0, 27, 1) == " " && substr($0, 28, 1) ~ /[^ ]/ && substr($0, 3, 24) ~ /^[A-Z0-9_]+ *$/) cut = 24
            else cut = match(line, /   *[^ ]/) ? RSTART - 1 : length(line)
            name = substr(line, 1, cut)
            rest = substr(line, cut + 1)
            sub(/^ +/, "", rest)
            sub(/ +$/, "", name)
            if (cut == length(line) && !option && name !~ /^[A-Z0-9_]+$/) { # words without an explanation
                end_list()
                print (words ? "" : ".Pp\n") text(name)
                words = 1
                next
            }
            words = 0
            if (!in_list || (after_blank && option && !had_options)) begin_list(option)
            after_blank = 0
            print ".It" tag(name)
            if (rest != "") print text(rest)
            next
        }
        { paragraph = paragraph (paragraph == "" ? "" : " ") $0 }
        END { flush_paragraph(0); end_list() }'
}

# head NAME SECTION SUMMARY
head() {
    printf '.\\" Made by src/man.sh from --help. Do not edit.\n.Dd %s\n.Dt %s %s\n.Os tiketi %s\n.Sh NAME\n.Nm %s\n.Nd %s\n' \
        "$date" "$(printf %s "$1" | tr '[:lower:]' '[:upper:]')" "$2" "$version" "$1" "$3"
}

# synopsis NAME HELP: what stands behind NAME in the first line of HELP.
synopsis() {
    printf '.Sh SYNOPSIS\n.Nm %s\n' "$1"
    printf '%s\n' "$2" | sed -n "1 { s/^Usage: $1 *//; s/-/\\\\-/g; /./p }"
}

# see_also: pages, "name section", a line each on standard input.
see_also() {
    printf '.Sh SEE ALSO\n'
    sort -k 2,2n -k 1,1 | sed 's/.*/.Xr & ,/; $ s/ ,$//'
    printf '.Pp\nThe documents in\n.Pa %s :\n.Pa README.md\nsays where to begin.\n' "${DOCDIR:-/usr/share/doc/tiketi}"
}

files() {
    cat <<'END'
.Sh FILES
.Bl -tag -width Ds
.It Pa /etc/tiketi/tiketi.ini
the settings:
.Xr tiketi.ini 5
.El
END
}

exit_status() {
    cat <<'END'
.Sh EXIT STATUS
.Bl -tag -width Ds
.It 0
done
.It 1
failed: the last lines say why
.It 64
a wrong command line
.It 78
a setting is wrong or missing
.El
END
}

mkdir -p "$folder"
help=$("$program" --help)
commands=$(printf '%s\n' "$help" | sed -n 's/^  \([a-z][a-z-]*\) .*/\1/p')
[ -n "$commands" ] || { echo 'src/man.sh: --help lists no commands' >&2; exit 1; }

for command in $commands; do
    about=$("$program" "$command" --help)
    summary=$(printf '%s\n' "$help" | sed -n "s/^  $command  *//p")
    others=
    {
        head "tiketi-$command" 1 "$summary"
        synopsis "tiketi $command" "$about"
        echo '.Sh DESCRIPTION'
        case $command in
        serve)
            # The settings, from the sentence that introduces them on, are tiketi.ini(5).
            printf '%s\n' "$about" | sed '/^A setting is given/,$ d' | body
            ;;
        ctl)
            printf '%s\n' "$about" | body
            echo '.Sh COMMANDS'
            printf '%s\n' "$about" | sed -n 's/^  \([a-z]* \{0,1\}[a-z]*\) .*/\1/p' | sed 's/ *$//' | while read -r name; do
                # shellcheck disable=SC2086  # two words
                one=$("$program" ctl $name --help)
                printf '.Ss %s\n' "$(printf '%s\n' "$one" | sed -n '1 { s/^Usage: tiketi ctl //; s/  */ /g; s/ $//; p }')"
                printf '%s\n' "$one" | body Ss
            done
            ;;
        *) printf '%s\n' "$about" | body ;;
        esac
        case $about in *'--config FILE'*)
            files
            others='tiketi.ini 5'
            ;;
        esac
        if [ "$command" = ctl ]; then
            echo '.Sh EXIT STATUS'
            printf '%s\n' "$about" | sed -n '/^Exit codes: /,/^$/ p' | sed 's/^Exit codes: //' | paste -s -d ' ' | sed 's/; /;\n/g; s/ *$//'
        else
            exit_status
        fi
        printf 'tiketi 1\n%s\n' "$others" | grep . | see_also
    } >"$folder/tiketi-$command.1"
done

{
    head tiketi 1 'a virtual waiting room and ticket admission'
    synopsis tiketi "$help"
    echo '.Sh DESCRIPTION'
    echo 'Buyers of a sale wait in a fair line, are let in as the shop bears them, and hold and pay for their seats.'
    echo 'One program has all roles of the service and the commands around it, each with a page of its own:'
    printf '%s\n' "$help" | sed 1,2d | sed '1 i Usage:' | body | sed 's/^\.It Ic \\&\(.*\)/.It Xr tiketi-\1 1/'
    files
    exit_status
    printf '%s\n' "$commands" | sed 's/.*/tiketi-& 1/; $ a tiketi.ini 5' | see_also
} >"$folder/tiketi.1"

{
    head tiketi.ini 5 'settings of tiketi'
    cat <<'END'
.Sh DESCRIPTION
Each setting is looked for on the command line
.Pq Fl \-set Ar NAME=VALUE ,
in the environment, and in this file
.Pq Fl \-config Ar FILE ,
by default
.Pa /etc/tiketi/tiketi.ini .
The first that has it counts.
.Pp
A line is
.Ql name = value ,
a comment
.Po
.Ql #
or
.Ql \&;
as its first character
.Pc ,
empty, or the section
.Ql [tiketi] ,
which changes nothing.
Case does not count in names.
A value is all that follows, without quotes, escapes or comments; an empty one counts as unset.
.Ar NAME Ns _FILE
names a file that holds the value of
.Ar NAME ,
for every setting.
After SIGHUP all files are read again, and settings marked [reload] get their new values.
The file has at most 64 KiB, a value 16 KiB.
.Pp
The file should be readable by its service alone: owned by root, group tiketi, mode 0640.
.Ql tiketi serve \-\-check\-config
tries all settings and the servers that they name.
END
    # The table of settings, whose titles become sections.
    "$program" serve --help | awk '/^A setting is given/ { found = 1 } found && !table && $0 == "" { table = 1 } NR == 1 || table' |
        body | awk '/^\.Ss / { $0 = ".Sh " toupper(substr($0, 5)) } 1'
    cat <<'END'
.Sh EXAMPLES
.Bd -literal -offset indent
redis_url = redis://redis:6379
database_url_file = /run/secrets/database_url
ticket_keys_file = /run/secrets/ticket_keys
queue_threshold = 2000
.Ed
END
    printf 'tiketi 1\ntiketi-serve 1\n' | see_also
} >"$folder/tiketi.ini.5"
