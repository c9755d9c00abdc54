/**
 * The Kubernetes examples of deploy/ as objects, and where a pod is more than the level
 * `restricted` of the Pod Security Standards lets it be. That level is written down here as the
 * standard has it, beside the schemas, which know what a key is called and not what it may say.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseAllDocuments } from 'yaml';

export interface Security {
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly fsGroup?: number;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly seccompProfile?: { readonly type: string };
  readonly capabilities?: { readonly drop?: string[]; readonly add?: string[] };
}

export interface Probe {
  readonly httpGet?: { readonly host?: string; readonly port: number; readonly path: string };
  readonly exec?: { readonly command: string[] };
  readonly periodSeconds: number;
  readonly failureThreshold?: number;
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: string[];
  readonly restartPolicy?: string;
  readonly env?: { readonly name: string }[];
  readonly ports?: { readonly name: string; readonly containerPort: number; hostPort?: number }[];
  readonly securityContext?: Security;
  readonly resources: Readonly<Record<'requests' | 'limits', { cpu?: string; memory?: string }>>;
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly volumeMounts?: { readonly name: string; readonly mountPath: string }[];
}

interface Source {
  readonly secret?: { readonly items: { readonly path: string }[] };
}

export interface PodSpec {
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly automountServiceAccountToken?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly securityContext?: Security;
  readonly initContainers?: Container[];
  readonly containers: Container[];
  readonly volumes?: { name: string; projected?: { defaultMode: number; sources: Source[] } }[];
}

interface Manifest {
  readonly kind: string;
  readonly data?: Readonly<Record<string, string>>;
  readonly metadata: { readonly name: string; readonly labels?: Readonly<Record<string, string>> };
  readonly spec?: { readonly template?: { readonly spec: PodSpec } } & Record<string, unknown>;
}

export interface Example {
  readonly path: string;
  readonly text: string;
  readonly pod: PodSpec;
  /** The container that runs the agent. */
  readonly agent: Container;
  /** tidegate.yaml of the ConfigMap. */
  readonly config: string;
  of(kind: string): Manifest;
}

export const exampleNames = ['daemonset.yaml', 'sidecar.yaml'] as const;

export function readExample(name: string): Example {
  const path = fileURLToPath(new URL(`../../deploy/kubernetes/${name}`, import.meta.url));
  const text = readFileSync(path, 'utf8');
  // As kubectl reads YAML: 0440 is octal.
  const all = parseAllDocuments(text, { version: '1.1' }).map((one) => one.toJS() as Manifest);
  const of = (kind: string) => {
    const [found, ...more] = all.filter((one) => one.kind === kind);
    if (!found || more.length > 0) throw new Error(`${name} has ${kind} not once`);
    return found;
  };
  const pod = all.map(({ spec }) => spec?.template?.spec).find((spec) => spec !== undefined);
  const agent = pod && containersOf(pod).find((one) => one.name === 'tidegate');
  if (!pod || !agent) throw new Error(`${name} has no pod with an agent`);
  return { path, text, pod, agent, config: of('ConfigMap').data?.['tidegate.yaml'] ?? '', of };
}

export function containersOf(pod: PodSpec): Container[] {
  return [...(pod.initContainers ?? []), ...pod.containers];
}

const volumeTypes = new Set(
  'configMap csi downwardAPI emptyDir ephemeral persistentVolumeClaim projected secret'.split(' '),
);

/** Each way in which a pod is not within the level `restricted`. */
export function breaches(pod: PodSpec): string[] {
  const { volumes = [], securityContext = {} } = pod;
  const host = (['hostNetwork', 'hostPID', 'hostIPC'] as const).filter((key) => pod[key] === true);
  const kinds = volumes.flatMap((volume) => Object.keys(volume).filter((key) => key !== 'name'));
  const inContainers = containersOf(pod).flatMap((container) =>
    containerBreaches(container, securityContext),
  );
  return [...host, ...kinds.filter((kind) => !volumeTypes.has(kind)), ...inContainers];
}

function containerBreaches(container: Container, ofPod: Security): string[] {
  const own = { ...ofPod, ...container.securityContext };
  const { drop = [], add = [] } = own.capabilities ?? {};
  const found = (container.ports ?? []).flatMap(({ hostPort }) =>
    hostPort === undefined ? [] : [`hostPort ${hostPort}`],
  );
  if (own.privileged === true) found.push('privileged');
  if (own.allowPrivilegeEscalation !== false) found.push('allowPrivilegeEscalation');
  if (own.runAsNonRoot !== true || own.runAsUser === 0) found.push('root');
  if (!['RuntimeDefault', 'Localhost'].includes(own.seccompProfile?.type ?? '')) {
    found.push('seccompProfile');
  }
  if (!drop.includes('ALL')) found.push('capabilities');
  found.push(...add.filter((one) => one !== 'NET_BIND_SERVICE'));
  return found.map((one) => `${container.name}: ${one}`);
}
