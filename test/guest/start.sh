#!/bin/sh
# What the guest's unit starts from the tools disk: the scenario, with the tools' own Node.
exec /mnt/node --disable-warning=ExperimentalWarning /mnt/test/guest/main.ts
