/**
 * What the guest has to show, as sentences. The scenario in the guest and the tests on the host
 * share these names: a promise that no scenario tells of is a failed test, and a scenario cannot
 * tell of one that is not here.
 *
 * Grouped by the boot that shows them: `life` is one machine from a fresh install to the moment its
 * power goes, `after` is the same disk started again, `newer` a shorter life on a newer Debian.
 */
const life = {
  'install.ready':
    'apt installs the package without a network, and the unit is READY when apt is done',
  'install.enabled': 'the unit is enabled, so that it starts with the machine',
  'install.user':
    'the agent runs as its own user without any capability, and owns nothing but its state',
  'install.conffile': '/etc/tidegate/tidegate.yaml is a conffile of the package',
  'install.files': 'what the package brings is of root, and nothing of it can be written by others',
  'install.commands': 'tidegate --version, check and status answer on the command line',
  'install.first': 'devices publish at once: what was acknowledged arrives in the file upstream',
  'notify.status': 'systemctl shows the agent’s own status text',
  'notify.reload': 'systemctl reload brings the new config in: RELOADING, then READY, are told',
  'notify.refused': 'a reload of a bad file is refused, and the old config runs on',
  'sandbox.features':
    'TLS, log-in, dead letters; Kafka, NATS and fleet with nobody there: sandboxed, no restart',
  'sandbox.calls':
    'in a whole life the sandbox refuses no call that has no other way: io_uring, clone3 alone',
  'sandbox.walls': 'the sandbox holds: no writing outside of the state, no other process in sight',
  'watchdog.restart': 'a hung agent is ended by the watchdog and started again',
  'watchdog.ledger': 'what was acknowledged before the agent hung arrives',
  'kill.restart': 'after SIGKILL the agent is started again, not at once but after its back-off',
  'kill.ledger': 'what was acknowledged before SIGKILL arrives, in order',
  'config.degraded': 'with a broken file the agent starts with the last good config, degraded',
  'config.none': 'with a broken file and no good one it ends with exit 78 and is tried again',
  'config.repaired': 'once the file is good again the agent comes up by itself',
  'limits.load': 'with MemoryMax=192M and CPUQuota=50% the agent takes a load and is not killed',
  'upgrade.done': 'an upgrade under load ends with the new version running',
  'upgrade.ledger':
    'an upgrade under load loses nothing that was acknowledged, and keeps the order',
  'upgrade.conffile':
    'a config that the operator changed is not overwritten, though the package’s changed too',
  'upgrade.degraded':
    'an upgrade over a broken config goes through, and the agent runs on degraded',
  'downgrade.refused':
    'a version that cannot read the buffer refuses to be installed, with the remedy',
  'downgrade.running':
    'after the refused downgrade the newer version runs on, config and events kept',
  'downgrade.allowed': 'a downgrade to a version that can read the buffer goes through',
  'remove.kept':
    'removing stops the agent and keeps the buffer, the upstream’s files and the config',
  'remove.reinstalled': 'installed again it goes on: the backlog that it was removed with arrives',
  'life.ledger': 'over the whole life of the machine nothing that was acknowledged was lost',
} as const;

const after = {
  'power.started': 'after a power cut the agent starts with the machine',
  'power.verified': 'tidegate buffer verify finds the buffer whole after the power cut',
  'power.goesOn': 'after the power cut devices publish and what was acknowledged arrives',
  'purge.asked': 'purging says in the journal what it deletes, before it is gone',
  'purge.gone':
    'after purging there is no buffer, config, unit or process; an operator’s own files are there',
  'purge.user':
    'after purging, the user is locked or gone, and owns nothing but an operator’s own files',
} as const;

const newer = {
  'newer.ready': 'on the next Debian the package installs without a network and is READY',
  'newer.first': 'on the next Debian what devices publish arrives',
  'newer.upgrade': 'on the next Debian an upgrade under load loses nothing that was acknowledged',
  'newer.calls': 'on the next Debian the sandbox refuses no call but these',
  'newer.remove': 'on the next Debian removing and purging leave nothing running',
} as const;

export const promises = { life, after, newer } as const;
export type Part = keyof typeof promises;
export type PromiseName = keyof (typeof life & typeof after & typeof newer);
