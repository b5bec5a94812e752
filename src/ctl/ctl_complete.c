/* SPDX-License-Identifier: MIT */
/*
 * ctl_complete: completion of tiketi and its programs for bash and zsh. `source <(tiketi ctl completion bash)`
 *
 * Why this way: what completes `tiketi ctl` is written from the table that parses its command line, so it cannot differ from
 * it. Event ids come from `tiketi ctl events --ids`. The other commands are of other programs: their options, values and
 * settings are read from --help as the user types. Called by: ctl. Pure, except for the stream it writes to.
 */
#include "ctl/ctl_complete.h"

#include "ctl/ctl_forecast.h"
#include "ctl/ctl_setting.h"

#include <string.h>

static void write_names(const char *const *names, FILE *out)
{
    for (; *names; names++)
        (void)fprintf(out, " %s=", *names);
}

/* The second words of the commands whose first one is `name`. */
static void write_second_words(const char *name, const struct ctl_word *words, size_t count,
                               FILE *out)
{
    const size_t len = strlen(name);
    for (size_t i = 0; i < count; i++) {
        if (strncmp(words[i].name, name, len) == 0 && words[i].name[len] == ' ')
            (void)fprintf(out, " %s", words[i].name + len + 1);
    }
}

/* The candidates after a command: its options; the words that make it another command, and event ids, for the first argument;
 * names of settings, or files, behind it. Written as branches of a shell's `case`. */
static void write_cases(const struct ctl_word *words, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        (void)fprintf(out, "        '%s') options='", words[i].name);
        for (const struct option_row *row = words[i].rows; row && row->name; row++)
            (void)fprintf(out, "--%s%s", row->name, row[1].name ? " " : "");
        (void)fprintf(out, "'; first='%s",
                      strncmp(words[i].args, "EVENT", 5) == 0    ? "event"
                      : strcmp(words[i].name, "completion") == 0 ? "bash zsh"
                                                                 : "");
        write_second_words(words[i].name, words, count, out);
        (void)fprintf(out, "'; rest='%s", strstr(words[i].args, "FILE") ? "file" : "");
        if (strstr(words[i].args, "SETTING=VALUE"))
            write_names(ctl_setting_names, out);
        if (strcmp(words[i].name, "forecast") == 0)
            write_names(ctl_forecast_names, out);
        (void)fputs("' ;;\n", out);
    }
}

/* The part that both shells understand: sets `options`, `first` and `rest` for the command in $1; false: there is none. */
static void write_common(const struct ctl_word *words, size_t count, FILE *out)
{
    (void)fputs("_tiketi_ctl_words() {\n    options= first= rest=\n    case $1 in\n", out);
    write_cases(words, count, out);
    (void)fputs("        *) return 1 ;;\n"
                "    esac\n"
                "    case $first in event*) first=\"${first#event} $(tiketi ctl events --ids "
                "2>/dev/null)\" ;; "
                "esac\n"
                "}\n",
                out);
}

/* The candidates of any command but ctl: `_tiketi_candidates COMMAND PREVIOUS` prints commands ($1 is empty), options, or
 * what the option PREVIOUS takes; the word FILE stands for the names of files. */
static const char candidates[] =
    "_tiketi_candidates() {\n"
    "    local value=\n"
    "    case $1,$2 in\n"
    "    ,*) tiketi --help 2>/dev/null | sed -n 's/^  \\([a-z][a-z-]*\\)  .*/\\1/p' ;;\n"
    "    *,--set) tiketi serve --help 2>/dev/null | sed -n 's/^  \\([A-Z][A-Z0-9_]*\\).*/\\1=/p' "
    ";;\n"
    "    *,--[a-z]*)\n"
    "        value=$(tiketi \"$1\" --help 2>/dev/null | sed -n \"s/^  $2 \\\\([A-Z][A-Z.=]*\\\\) "
    "/\\\\1 /p\" 2>/dev/null)\n"
    "        ;;\n"
    "    esac\n"
    "    case $1,$value in\n"
    "    ,*) ;;\n"
    "    *,FILE' '*) echo FILE ;;\n"
    "    *,ROLE' '* | *,LIST' '* | *,WORD' '*)\n"
    "        printf '%s\\n' \"$value\" |\n"
    "            sed 's/^[A-Z]* *//; s/([^)]*)//g; s/;.*//; s/.*: //; s/,/ /g; s/ or / /g'\n"
    "        ;;\n"
    "    *,?*) ;;\n"
    "    *)\n"
    "        [ \"$2\" = --set ] ||\n"
    "            tiketi \"$1\" --help 2>/dev/null | sed -n 's/^  \\(--[a-z-]*\\).*/\\1/p'\n"
    "        ;;\n"
    "    esac\n"
    "}\n";

#define PROGRAMS "tiketi tiketi-ctl tiketi-crowd tiketi-provider tiketi-proxy tiketi-simulate"

static void write_bash(const struct ctl_word *words, size_t count, FILE *out)
{
    (void)fputs("# bash completion of tiketi: source <(tiketi ctl completion bash)\n", out);
    write_common(words, count, out);
    (void)fputs(candidates, out);
    (void)fputs("_tiketi() {\n"
                "    local options first rest at=1 word=${COMP_WORDS[COMP_CWORD]}\n"
                "    local program=${COMP_WORDS[0]##*/}\n"
                "    [ \"$program\" = tiketi ] && at=2\n"
                "    if [ \"$COMP_CWORD\" -lt \"$at\" ]; then\n"
                "        COMPREPLY=($(compgen -W \"$(_tiketi_candidates '' '')\" -- \"$word\"))\n"
                "    elif [ \"$program\" != tiketi-ctl ] && [ \"$program ${COMP_WORDS[1]}\" != "
                "'tiketi ctl' ]; then\n"
                "        first=${program#tiketi-}\n"
                "        [ \"$at\" = 1 ] || first=${COMP_WORDS[1]}\n"
                "        [ \"$first\" != help ] || first=\n"
                "        first=$(_tiketi_candidates \"$first\" \"${COMP_WORDS[COMP_CWORD-1]}\")\n"
                "        case $first in\n"
                "        FILE) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                "        *) COMPREPLY=($(compgen -W \"$first\" -- \"$word\")) ;;\n"
                "        esac\n"
                "        case ${COMPREPLY[*]} in *=) compopt -o nospace 2>/dev/null ;; esac\n"
                "    elif [ \"$COMP_CWORD\" -eq \"$at\" ]; then\n"
                "        COMPREPLY=($(compgen -W '",
                out);
    for (size_t i = 0; i < count; i++) {
        if (!strchr(words[i].name, ' '))
            (void)fprintf(out, "%s%s", i > 0 ? " " : "", words[i].name);
    }
    (void)fputs("' -- \"$word\"))\n"
                "    else\n"
                "        if [ \"$COMP_CWORD\" -gt $((at + 1)) ] &&\n"
                "            _tiketi_ctl_words \"${COMP_WORDS[at]} ${COMP_WORDS[at+1]}\"; then\n"
                "            at=$((at + 1))\n"
                "        else\n"
                "            _tiketi_ctl_words \"${COMP_WORDS[at]}\"\n"
                "        fi\n"
                "        case $word in\n"
                "        -*) COMPREPLY=($(compgen -W \"$options\" -- \"$word\")) ;;\n"
                "        *)\n"
                "            [ \"$COMP_CWORD\" -eq $((at + 1)) ] || first=$rest\n"
                "            case $first in\n"
                "            file) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
                "            *) COMPREPLY=($(compgen -W \"$first\" -- \"$word\")) ;;\n"
                "            esac\n"
                "            case ${COMPREPLY[*]} in *=) compopt -o nospace 2>/dev/null ;; esac\n"
                "            ;;\n"
                "        esac\n"
                "    fi\n"
                "}\n"
                "complete -F _tiketi " PROGRAMS "\n",
                out);
}

static void write_zsh(const struct ctl_word *words, size_t count, FILE *out)
{
    (void)fputs("#compdef " PROGRAMS "\n"
                "# zsh completion of tiketi: source <(tiketi ctl completion zsh), after compinit; "
                "or this file as _tiketi in $fpath\n",
                out);
    write_common(words, count, out);
    (void)fputs(candidates, out);
    (void)fputs(
        "_tiketi() {\n"
        "    local options first rest at=2 program=${words[1]##*/}\n"
        "    local -a commands\n"
        "    [[ $program == tiketi ]] && at=3\n"
        "    if (( CURRENT < at )); then\n"
        "        compadd -- ${=$(_tiketi_candidates '' '')}\n"
        "    elif [[ $program != tiketi-ctl && \"$program ${words[2]}\" != 'tiketi ctl' ]]; then\n"
        "        first=${program#tiketi-}\n"
        "        (( at == 2 )) || first=${words[2]}\n"
        "        [[ $first != help ]] || first=\n"
        "        first=$(_tiketi_candidates \"$first\" \"${words[CURRENT-1]}\")\n"
        "        case $first in\n"
        "        FILE) _files ;;\n"
        "        *=) compadd -S '' -- ${=first} ;;\n"
        "        *) compadd -- ${=first} ;;\n"
        "        esac\n"
        "    elif (( CURRENT == at )); then\n"
        "        commands=(",
        out);
    for (size_t i = 0; i < count; i++) {
        if (!strchr(words[i].name, ' '))
            (void)fprintf(out, "\n            \"%s:%s\"", words[i].name, words[i].summary);
    }
    (void)fputs("\n        )\n"
                "        _describe command commands\n"
                "    else\n"
                "        if (( CURRENT > at + 1 )) && _tiketi_ctl_words \"${words[at]} "
                "${words[at+1]}\"; then\n"
                "            at=$((at + 1))\n"
                "        else\n"
                "            _tiketi_ctl_words \"${words[at]}\"\n"
                "        fi\n"
                "        if [[ ${words[CURRENT]} == -* ]]; then\n"
                "            compadd -- ${=options}\n"
                "        elif (( CURRENT == at + 1 )); then\n"
                "            compadd -- ${=first}\n"
                "        elif [[ $rest == file ]]; then\n"
                "            _files\n"
                "        else\n"
                "            compadd -S '' -- ${=rest}\n"
                "        fi\n"
                "    fi\n"
                "}\n"
                "if [[ ${funcstack[1]} == _tiketi ]]; then\n"
                "    _tiketi \"$@\"\n"
                "else\n"
                "    compdef _tiketi " PROGRAMS "\n"
                "fi\n",
                out);
}

bool ctl_complete(const char *shell, const struct ctl_word *words, size_t count, FILE *out)
{
    if (strcmp(shell, "bash") == 0)
        write_bash(words, count, out);
    else if (strcmp(shell, "zsh") == 0)
        write_zsh(words, count, out);
    else
        return false;
    return true;
}
