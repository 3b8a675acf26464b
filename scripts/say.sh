# Sourced by the other scripts: messages, and running commands as root.
# shellcheck shell=bash
# shellcheck disable=SC2034  # the colours are for the scripts that source this file

if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then
    bold=$'\e[1m' dim=$'\e[2m' green=$'\e[32m' red=$'\e[31m' plain=$'\e[0m'
else
    bold='' dim='' green='' red='' plain=''
fi

# say SENTENCE: prints progress.
say() { printf '%s\n' "${green}pyvol:${plain} $*"; }

# die SENTENCE: prints the reason and what to do, and exits.
die() {
    printf '%s\n' "${red}pyvol:${plain} $*" >&2
    exit 1
}

# as_root COMMAND...: runs the command as root.
as_root() {
    if [ "$EUID" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this needs root, and sudo is not installed. Run as root: $*"
    fi
}

# give_back: gives files that root made in the checkout to the owner of the checkout.
give_back() {
    [ "$(stat -c %u pyproject.toml)" -eq 0 ] ||
        as_root find . -path ./.git -prune -o -user root -exec chown --no-dereference --reference=pyproject.toml {} +
}

# As root, Python must not leave byte code beside the sources.
export PYTHONDONTWRITEBYTECODE=1
# Root's tools are not on every user's PATH.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
