/**
 * The package on the Debian after the one that it is made for (13), with that one's systemd, dpkg
 * and C library: a shorter life than that of guest.test.ts.
 */
import { tellPromises } from '../support/guest-told.ts';

tellPromises({ suite: 'trixie', kind: 'newer', cut: 'kill' }, ['newer']);
