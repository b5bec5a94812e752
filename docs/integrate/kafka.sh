#!/bin/bash
# Writes what happens at an event to a topic of Kafka, and goes on where the topic ends: the topic itself is the cursor. Have it
# started again when it ends (systemd: Restart=always), or with FOLLOW= run now and then: it ends when all is written. Needs
# tiketi, kcat and jq.
#
#   TIKETI_URL=… TIKETI_TOKEN=… BROKERS=kafka:9092 ./kafka.sh EVENT [TOPIC]
set -euo pipefail
event=$1
topic=${2-tiketi.$1} # must exist, with one partition: order is kept within it

after=$(kcat -C -q -e -b "$BROKERS" -t "$topic" -p 0 -o -1 -c 1 | jq -r .sequence)
# -vv tells each event that Kafka has acknowledged; one that it has not when this ends is sent again.
# The two last settings: what a broker does not take is tried for ever, and never left out.
# shellcheck disable=SC2086 # empty: no argument
tiketi ctl feed "$event" ${FOLLOW---follow} --after "${after:-0}" |
    kcat -P -vv -b "$BROKERS" -t "$topic" -p 0 -k "$event" -X acks=all -X enable.idempotence=true \
        -X message.timeout.ms=0 -X enable.gapless.guarantee=true
