/**
 * Runs a command under the unit's own filters of system calls and address families, on any machine
 * with libseccomp, where no systemd need run:
 *
 *   node test/support/confined.ts COMMAND ARGUMENT…
 *
 * The rules are made as systemd makes them (seccomp-util.c): a list of what is allowed, everything
 * else is answered SystemCallErrorNumber=, and socket(2) with another family EAFNOSUPPORT. Then the
 * command takes this process's place, so that pid and parent are those of the command.
 */
import { constants } from 'node:os';
import { argv, execPath } from 'node:process';
import { fileURLToPath } from 'node:url';
import koffi from 'koffi';
import { allowedCalls, allowedFamilies, theValueOf } from './unit-file.ts';

const SCMP_ACT_ALLOW = 0x7fff_0000;
const SCMP_ACT_ERRNO = 0x0005_0000;
const SCMP_CMP_EQ = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const F_SETFD = 2;
const standardDescriptors = [0, 1, 2];
/** The name is of another machine's table. */
const unknownCall = -1;
const EDOM = constants.errno.EDOM;
/** Of Linux; AF_MAX is 46 in the newest kernels. */
const families: Readonly<Record<string, number>> = { AF_UNIX: 1, AF_INET: 2, AF_INET6: 10 };
const familiesMost = 64;

/** To be put in front of a command. */
export const confined: readonly string[] = [execPath, fileURLToPath(import.meta.url)];

type Call = (...args: unknown[]) => number;

function bindings() {
  koffi.struct('scmp_arg_cmp', { arg: 'uint', op: 'int', a: 'uint64_t', b: 'uint64_t' });
  const seccomp = koffi.load('libseccomp.so.2');
  const libc = koffi.load(null);
  const of = (library: ReturnType<typeof koffi.load>, prototype: string): Call =>
    library.func(prototype) as unknown as Call;
  return {
    init: of(seccomp, 'void *seccomp_init(uint32_t action)'),
    load: of(seccomp, 'int seccomp_load(void *context)'),
    resolve: of(seccomp, 'int seccomp_syscall_resolve_name(const char *name)'),
    rule: of(
      seccomp,
      'int seccomp_rule_add_exact_array(void *context, uint32_t action, int call,' +
        ' uint count, const scmp_arg_cmp *compared)',
    ),
    prctl: of(libc, 'int prctl(int option, ulong a, ulong b, ulong c, ulong d)'),
    fcntl: of(libc, 'int fcntl(int descriptor, int command, int argument)'),
    execv: of(libc, 'int execv(const char *path, const char **args)'),
  };
}

function must(what: string, result: number): void {
  if (result !== 0) throw new Error(`${what}: ${result}, errno ${koffi.errno()}`);
}

function confine(libraries: ReturnType<typeof bindings>): void {
  const { init, load, resolve, rule, prctl } = libraries;
  must('no_new_privs', prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  const byFamily = init(SCMP_ACT_ALLOW);
  const allowed = [...allowedFamilies()].map((name) => families[name]);
  const refused = SCMP_ACT_ERRNO | constants.errno.EAFNOSUPPORT;
  for (let family = 0; family < familiesMost; family++) {
    if (allowed.includes(family)) continue;
    const compared = [{ arg: 0, op: SCMP_CMP_EQ, a: family, b: 0 }];
    must(`family ${family}`, rule(byFamily, refused, resolve('socket'), 1, compared));
  }
  must('filter of families', load(byFamily));
  const errno =
    constants.errno[theValueOf('SystemCallErrorNumber') as keyof typeof constants.errno];
  const byCall = init(SCMP_ACT_ERRNO | errno);
  for (const name of allowedCalls()) {
    const call = resolve(name);
    if (call === unknownCall) continue;
    const added = rule(byCall, SCMP_ACT_ALLOW, call, 0, null);
    if (added !== -EDOM) must(name, added);
  }
  must('filter of calls', load(byCall));
}

if (import.meta.main) {
  const [, , ...command] = argv;
  const libraries = bindings();
  // Node has marked all that it was given to be closed on exec.
  for (const fd of standardDescriptors) must('fcntl', libraries.fcntl(fd, F_SETFD, 0));
  confine(libraries);
  libraries.execv(command[0], [...command, null]);
  throw new Error(`${command[0]} does not run: errno ${koffi.errno()}`);
}
