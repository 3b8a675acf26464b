# Sourced by the scripts beside it: how they speak, and how they become root.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the colours are for those that source it

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

# say SENTENCE: one line about what is being done.
say() { printf '%s\n' "${green}pyvol:${plain} $*"; }

# die SENTENCE: why it ends here, and what to do about it.
die() {
    printf '%s\n' "${red}pyvol:${plain} $*" >&2
    exit 1
}

# as_root COMMAND...: the command, as root.
as_root() {
    if [ "$EUID" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and there is no sudo here. Run as root: $*"
    fi
}

# give_back: what root made in somebody's checkout must not be in that somebody's way.
give_back() {
    [ "$(stat -c %u pyproject.toml)" -eq 0 ] ||
        as_root find . -path ./.git -prune -o -user root -exec chown --no-dereference --reference=pyproject.toml {} +
}

# Python leaves no byte code of root's beside the sources.
export PYTHONDONTWRITEBYTECODE=1
# Root's tools are not on every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
