/**
 * A Debian that boots: made by debootstrap once, kept, and never changed afterwards.
 *
 *   guest-<suite>-<hash of the recipe>/        where kept-folder.ts keeps it
 *     disk.img      ext4, the whole root (sparse); guests boot on copies
 *     vmlinuz, initrd.img
 *
 * The recipe is this file: what is included, what is written into the root. What the guest runs is
 * not in here: it comes on a second disk at each boot (`guest.ts`), found by its label.
 *
 * It needs root (debootstrap makes devices and enters the new root). There is nothing of Tidegate
 * in the image, and no network in the guest.
 */
import { cpSync, globSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bootstrap, keptFolder } from './kept-folder.ts';
import { runTool } from './run-tool.ts';

export type Suite = 'bookworm' | 'trixie';

export interface GuestImage {
  readonly suite: Suite;
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
  /** 0 when it was there already. */
  readonly madeInMs: number;
}

export const toolsLabel = 'tidegate-tools';
export const reportPort = 'tidegate-report';

const diskSize = '3G';
const makeWithinMs = 600_000;
const included = [
  ...['systemd', 'systemd-sysv', 'dbus', 'udev', 'adduser'],
  ...['linux-image-cloud-amd64', 'initramfs-tools'],
];

/** Files of the root that debootstrap does not make. */
const written: Readonly<Record<string, string>> = {
  'etc/hostname': 'gateway\n',
  'etc/fstab': '/dev/vda / ext4 errors=remount-ro 0 1\n',
  'etc/default/locale': 'LANG=C.UTF-8\n',
  // Two modules instead of every disk there is: the initrd is a third of the size.
  'etc/initramfs-tools/conf.d/guest': 'MODULES=list\n',
  'etc/initramfs-tools/modules': 'virtio_pci\nvirtio_blk\n',
  // What the agent says must all be there to be looked at.
  'etc/systemd/journald.conf.d/guest.conf':
    '[Journal]\nRateLimitIntervalSec=0\nStorage=persistent\nSyncIntervalSec=5s\n',
  'etc/systemd/system/guest.service': [
    '[Unit]',
    'Description=What this guest was started for',
    'SuccessAction=poweroff-force',
    'FailureAction=poweroff-force',
    '[Service]',
    'Type=exec',
    `ExecStartPre=mount -o ro LABEL=${toolsLabel} /mnt`,
    `ExecStart=/bin/sh /mnt/start.sh`,
    'StandardOutput=journal+console',
    'StandardError=journal+console',
    'OOMScoreAdjust=-900',
    '[Install]',
    'WantedBy=multi-user.target',
    '',
  ].join('\n'),
};
/** Nothing of these belongs to a gateway's agent, and each takes its part of a slow machine. */
const masked = [
  ...['apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'fstrim.timer'],
  ...['e2scrub_all.timer', 'e2scrub_reap.service', 'getty@tty1.service', 'man-db.timer'],
  ...['systemd-pstore.service', 'serial-getty@ttyS0.service', 'systemd-timesyncd.service'],
];

function imageIn(folder: string, suite: Suite, madeInMs: number): GuestImage {
  return {
    ...{ suite, madeInMs },
    disk: join(folder, 'disk.img'),
    kernel: join(folder, 'vmlinuz'),
    initrd: join(folder, 'initrd.img'),
  };
}

function finishRoot(root: string): void {
  for (const [path, text] of Object.entries(written)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  const units = join(root, 'etc/systemd/system');
  for (const unit of masked) {
    rmSync(join(units, unit), { force: true });
    symlinkSync('/dev/null', join(units, unit));
  }
  mkdirSync(join(units, 'multi-user.target.wants'), { recursive: true });
  symlinkSync('../guest.service', join(units, 'multi-user.target.wants/guest.service'));
  // Each boot of a fresh copy is a machine of its own.
  writeFileSync(join(root, 'etc/machine-id'), '');
  runTool('chroot', [root, 'update-initramfs', '-u', '-k', 'all'], makeWithinMs);
  rmSync(join(root, 'var/cache/apt/archives'), { recursive: true, force: true });
  mkdirSync(join(root, 'var/cache/apt/archives/partial'), { recursive: true });
}

function only(pattern: string): string {
  const [path] = globSync(pattern);
  if (path === undefined) throw new Error(`the guest's root has no ${pattern}`);
  return path;
}

/**
 * The image of this suite; made when it is not there yet.
 * @throws Error when it cannot be made: not root, a tool or the mirror is missing
 */
export function guestImage(suite: Suite): GuestImage {
  const recipe = [suite, diskSize, included, written, masked];
  const { folder, madeInMs } = keptFolder(`guest-${suite}`, recipe, (work) => {
    const root = join(work, 'root');
    bootstrap(suite, root, [`--include=${included.join(',')}`], makeWithinMs);
    finishRoot(root);
    cpSync(only(join(root, 'boot/vmlinuz-*')), join(work, 'vmlinuz'));
    cpSync(only(join(root, 'boot/initrd.img-*')), join(work, 'initrd.img'));
    const disk = join(work, 'disk.img');
    runTool('mke2fs', ['-q', '-t', 'ext4', '-d', root, '-F', disk, diskSize], makeWithinMs);
    rmSync(root, { recursive: true, force: true });
  });
  return imageIn(folder, suite, madeInMs);
}
