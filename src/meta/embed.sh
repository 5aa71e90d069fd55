#!/bin/sh
# embed.sh <out.h> <dir>: make a C header of the Lua scripts of a directory.
# embed.sh --text <name> <dir>: the text of one of them, as it is embedded.
#
# Every file including the header gets the enum; the one that defines
# ACR_SCRIPTS_TEXT before including it gets the texts and the table too.
# Before every script goes what it needs of common.lua, since Redis makes that
# anew at each call.  Lines that hold only a comment, and empty lines, are left
# out.

set -eu
LC_ALL=C
export LC_ALL

# What a script needs of common.lua, and the script.  A piece of common.lua
# begins with what stands at the begin of a line, and is needed if its name is
# a word of the script or of a piece that is; "if" always is.
text() {
    awk '
        /^[ \t]*--/ || /^[ \t]*$/ { next }
        FNR != NR { script = script $0 "\n"; next }
        /^(local|if) / {
            n++
            name[n] = $2 == "function" ? $3 : $2
            sub(/[^A-Za-z0-9_].*/, "", name[n])
            if ($1 == "if") {
                name[n] = ""
            }
        }
        { piece[n] = piece[n] $0 "\n" }
        END {
            for (i = n; i; i--) {
                word = "(^|[^A-Za-z0-9_])" name[i] "([^A-Za-z0-9_]|$)"
                if (name[i] == "" || script ~ word || needed ~ word) {
                    needed = piece[i] needed
                }
            }
            printf "%s%s", needed, script
        }
    ' "$2/common.lua" "$2/$1.lua"
}

if [ $# -eq 3 ] && [ "$1" = --text ] && [ -f "$3/$2.lua" ]; then
    text "$2" "$3"
    exit
fi

if [ $# -ne 2 ] || [ ! -f "$2/common.lua" ]; then
    echo "usage: embed.sh [--text] <out.h or name> <dir with common.lua>" >&2
    exit 2
fi

out=$1
dir=$2
tmp=$out.$$
trap 'rm -f "$tmp"' EXIT
trap 'exit 1' HUP INT TERM

if grep -n '^[[:blank:]]*--\[=*\[' "$dir"/*.lua >&2; then
    echo "embed.sh: long comments are not understood" >&2
    exit 1
fi

names=
for file in "$dir"/*.lua; do
    name=${file##*/}
    name=${name%.lua}
    case $name in
        common) ;;
        *[!a-z0-9_]*)
            echo "embed.sh: bad name: $file" >&2
            exit 1
            ;;
        *) names="$names $name" ;;
    esac
done

# One quoted line for each line; "\?" so that there are no trigraphs.
tab=$(printf '\t')
quote() {
    # The first line makes a literal of an empty script too.
    printf '    ""\n'
    sed -e 's/[\\"?]/\\&/g' -e "s/$tab/\\\\t/g" \
        -e 's/^/    "/' -e 's/$/\\n"/'
}

upper() {
    printf '%s' "$1" | tr '[:lower:]' '[:upper:]'
}

{
    printf '/* Made by src/meta/embed.sh; do not edit. */\n\n'
    printf '#ifndef ACR_SCRIPTS_H\n#define ACR_SCRIPTS_H\n\n'
    printf '#define ACR_SCRIPTS(X)'
    for name in $names; do
        printf ' \\\n    X(%s, %s)' "$(upper "$name")" "$name"
    done
    printf '\n\nenum {\n'
    printf '#define ACR_SCRIPT_X(upper, name)  ACR_SCRIPT_##upper,\n'
    printf '    ACR_SCRIPTS(ACR_SCRIPT_X)\n'
    printf '#undef ACR_SCRIPT_X\n'
    printf '    ACR_SCRIPT_MAX\n};\n\n'
    printf '#endif /* ACR_SCRIPTS_H */\n\n'

    printf '#if defined(ACR_SCRIPTS_TEXT) && !defined(ACR_SCRIPTS_TEXT_H)\n'
    printf '#define ACR_SCRIPTS_TEXT_H\n\n#include <stddef.h>\n\n'
    for name in $names; do
        printf 'static const char acr_script_%s[] =\n' "$name"
        text "$name" "$dir" | quote
        printf '    ;\n\n'
    done
    printf 'static const struct {\n'
    printf '    const char  *name;\n'
    printf '    const char  *text;\n'
    printf '    size_t       len;\n'
    printf '} acr_scripts[ACR_SCRIPT_MAX] = {\n'
    printf '#define ACR_SCRIPT_X(upper, name) \\\n'
    printf '    { #name, acr_script_##name, '
    printf 'sizeof(acr_script_##name) - 1 },\n'
    printf '    ACR_SCRIPTS(ACR_SCRIPT_X)\n'
    printf '#undef ACR_SCRIPT_X\n};\n\n'
    printf '#endif /* ACR_SCRIPTS_TEXT */\n'
} > "$tmp"

mv -f "$tmp" "$out"
trap - EXIT
