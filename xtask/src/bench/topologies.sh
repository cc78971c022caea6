#!/bin/sh
# A topology by the engines' own tools alone, one server after the other, until a row has come to each. Says "proven" then, and takes
# all of it down again at the end of its standard input.
#
#     topologies.sh mariadb-replicas|mariadb-pair|mariadb-shards|postgres-standbys native FOLDER PORT…
#     topologies.sh mariadb-replicas|mariadb-pair|mariadb-shards|postgres-standbys docker FOLDER IMAGE
#
# A port for each server.
set -eu
shape=$1 lab=$2 folder=$3
shift 3
deadline=$(($(date +%s) + 120))
name=$(basename "$folder")
nodes='' pids='' account=$(id -un) as=''
PATH=$PATH:/usr/sbin

case $lab in
native)
    for node in a b c d e f g h; do
        [ $# -gt 0 ] || break
        eval "port_$node=$1"
        shift
    done
    ;;
docker) image=$1 ;;
esac

# Servers of Postgres refuse root.
if [ "$shape" = postgres-standbys ] && [ "$lab" = native ]; then
    PATH=/usr/lib/postgresql/15/bin:$PATH
    if [ "$account" = root ]; then
        as='setpriv --reuid postgres --regid postgres --clear-groups --'
        chown postgres "$folder"
    fi
    cd "$folder"
fi

clean_up() {
    case $shape-$lab in
    mariadb-*-native)
        [ -z "$pids" ] || kill $pids || true
        wait
        ;;
    postgres-*-native) for node in $nodes; do $as pg_ctl -s -w -m immediate -D "$folder/$node" stop || true; done ;;
    *)
        for node in $nodes; do docker rm --force --volumes "$name-$node" || true; done
        docker network rm "$name" || true
        ;;
    esac >/dev/null 2>&1
}
trap clean_up EXIT
# PIPE: whoever started it has gone, and does not read the answer.
trap 'exit 1' HUP INT PIPE TERM

# await NODE SQL ANSWER
await() {
    until [ "$(ask "$1" "$2" 2>/dev/null)" = "$3" ]; do
        [ "$(date +%s)" -lt "$deadline" ] || { echo "$1 did not answer $3 to: $2" >&2; exit 1; }
        sleep 0.02
    done
}

port_of() { eval "echo \$port_$1"; }

host_of() { if [ "$lab" = native ]; then echo 127.0.0.1; else echo "$name-$1"; fi; }

# mariadb NODE NUMBER OPTION…: a fresh server, and an account that replicates
start_mariadb() {
    node=$1 number=$2
    shift 2
    options="--no-defaults --server-id=$number --log-bin=binlog --log-slave-updates --skip-name-resolve $*"
    if [ "$lab" = native ]; then
        files="--user=$account --datadir=$folder/$node"
        mariadb-install-db --no-defaults --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
            --force $files >"$folder/$node.log" 2>&1
        mariadbd $options $files --port="$(port_of "$node")" --bind-address=127.0.0.1 --socket="$folder/$node.sock" \
            --pid-file="$folder/$node.pid" >>"$folder/$node.log" 2>&1 &
        pids="$pids $!"
    else
        serve="cp --archive /var/lib/rehearsal/mariadb-10.11 /tmp/data && exec mariadbd $options --user=mysql --datadir=/tmp/data --socket=/tmp/socket"
        nodes="$nodes $node"
        docker run --detach --network "$name" --name "$name-$node" "$image" sh -c "$serve" >/dev/null
    fi
    await "$node" 'SELECT 1' 1
    ask "$node" "SET sql_log_bin = 0; CREATE USER replication@'%'; GRANT REPLICATION SLAVE ON *.* TO replication@'%'"
}

# masters ONE OTHER: each writes to the other, proven both ways
masters() {
    for number in 1 2; do
        start_mariadb "$(eval "echo \$$number")" "$number" --binlog-format=ROW --gtid-domain-id="$number" \
            --gtid-strict-mode=ON --auto-increment-increment=2 --auto-increment-offset="$number"
    done
    follow "$2" "$1"
    follow "$1" "$2"
    ask "$1" 'CREATE DATABASE shop; CREATE TABLE shop.proof (n int PRIMARY KEY); INSERT INTO shop.proof VALUES (1)'
    await "$2" 'SELECT COUNT(*) FROM shop.proof' 1
    ask "$2" 'INSERT INTO shop.proof VALUES (2)'
    await "$1" 'SELECT COUNT(*) FROM shop.proof' 2
}

# follow NODE OTHER
follow() {
    port=3306
    [ "$lab" = docker ] || port=$(port_of "$2")
    ask "$1" "CHANGE MASTER TO MASTER_HOST = '$(host_of "$2")', MASTER_PORT = $port, MASTER_USER = 'replication',
        MASTER_CONNECT_RETRY = 1, MASTER_USE_GTID = slave_pos; START SLAVE"
}

start_primary() {
    if [ "$lab" = native ]; then
        $as initdb --no-sync -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D "$folder/a" >"$folder/a.init"
        control a
    else
        docker_postgres a 'initdb --no-sync -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D /tmp/data &&
            echo "host replication all all trust" >>/tmp/data/pg_hba.conf'
    fi
}

start_standby() {
    copy='pg_basebackup --no-sync -U postgres -X stream -c fast -R -C'
    if [ "$lab" = native ]; then
        $as $copy -S "$1" -h 127.0.0.1 -p "$port_a" -D "$folder/$1"
        control "$1"
    else
        docker_postgres "$1" "$copy -S $1 -h $(host_of a) -D /tmp/data"
    fi
}

# control NODE
control() {
    nodes="$nodes $1"
    $as pg_ctl -s -w -D "$folder/$1" -l "$folder/$1.server" \
        -o "-c listen_addresses=127.0.0.1 -p $(port_of "$1") -k $folder" start >/dev/null 2>&1
}

# docker_postgres NODE SCRIPT-THAT-MAKES-IT
docker_postgres() {
    nodes="$nodes $1"
    docker run --detach --network "$name" --name "$name-$1" --user postgres "$image" \
        sh -c "$2 && exec postgres -D /tmp/data -k /tmp -c 'listen_addresses=*'" >/dev/null
    await "$1" 'SELECT 1' 1
}

# ask NODE SQL
ask() {
    case $shape-$lab in
    mariadb-*-native) mariadb --no-defaults --socket="$folder/$1.sock" -u root -N -e "$2" ;;
    mariadb-*-docker) docker exec "$name-$1" mariadb --no-defaults --socket=/tmp/socket -u root -N -e "$2" ;;
    postgres-*-native) psql -XAtq -h 127.0.0.1 -p "$(port_of "$1")" -U postgres -c "$2" ;;
    postgres-*-docker) docker exec "$name-$1" psql -XAtq -h /tmp -U postgres -c "$2" ;;
    esac
}

[ "$lab" = native ] || docker network create "$name" >/dev/null

case $shape in
mariadb-replicas)
    start_mariadb a 1
    for number in 2 3; do
        node=$(echo "$number" | tr 23 bc)
        start_mariadb "$node" "$number"
        follow "$node" a
    done
    ask a 'CREATE DATABASE shop; CREATE TABLE shop.proof (n int PRIMARY KEY); INSERT INTO shop.proof VALUES (1)'
    for node in b c; do await "$node" 'SELECT COUNT(*) FROM shop.proof' 1; done
    ;;
mariadb-pair) masters a b ;;
mariadb-shards)
    masters a b
    masters c d
    masters e f
    masters g h
    ;;
postgres-standbys)
    start_primary
    for node in b c; do start_standby "$node"; done
    ask a 'CREATE TABLE proof (n int PRIMARY KEY); INSERT INTO proof VALUES (1)'
    for node in b c; do await "$node" 'SELECT count(*) FROM proof' 1; done
    ;;
*)
    echo "no topology $shape" >&2
    exit 2
    ;;
esac
echo proven
cat >/dev/null
