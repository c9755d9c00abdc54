/**
 * Every limit of the agent, with its unit in its name.
 *
 * A bound that depends on another says so in `assertBounds`, which runs when this file is loaded:
 * a wrong relation ends the process before the first byte is taken. Tests shrink bounds through the
 * constructors that take them, never by changing this file.
 */

export const KIB = 1024;
export const MIB = 1024 * KIB;
export const GIB = 1024 * MIB;

/** Largest MQTT Control Packet a listener takes unless the config says less or more. */
export const maxPacketSizeDefaultBytes = 256 * KIB;
/** Largest value `maxPacketSize` may be set to: one packet must fit the core's chunk region. */
export const maxPacketSizeCeilingBytes = 448 * KIB;
/** Largest CONNECT, and all that may be held of a connection before CONNACK. */
export const beforeConnectBytes = 64 * KIB;
/** Largest packet of a broker that is looked at whole (CONNACK, SUBACK, …); larger ones pass. */
export const lookedBytes = 128 * KIB;
/** QoS 2 PUBLISHes without PUBREL of a device that knows no Receive Maximum (before version 5). */
export const unreleasedFrames = 16_384;
/** Wills that wait for their Will Delay, all together; beyond it the oldest is due now. */
export const pendingWillsBytes = 4 * MIB;
/** Session changes that wait for the disk; beyond it no CONNECT with a Will is taken. */
export const waitingChangesBytes = 1 * MIB;
/** A connection without a whole CONNECT is closed after this. */
export const connectWithinMs = 10_000;
/** A device that does not read what it is owed at the end is not waited for longer. */
export const closeWithinMs = 5_000;
/** Having told a device that we end, we read on for this long: then it has heard it. */
export const lingerMs = 1_000;
export const lingerBytes = 64 * KIB;
/** The core's chunk region (wasm-core/layout.ts asserts the same number). */
export const chunkRegionBytes = 512 * KIB;
/** The core's segment region: the largest body of one commit. */
export const segmentRegionBytes = 896 * KIB;
/** What envelope, key, headers and batch framing may add to one frame in Kafka. */
export const kafkaEnvelopeBytes = 64 * KIB;
/** Kafka's default max.message.bytes less the batch overhead it counts. */
export const kafkaRecordBatchBytes = 1_000_000;

/** Partial packets of all connections together; beyond it the largest is closed. */
export const partialPacketsBytes = 16 * MIB;
/** Commits on their way to the disk at the same time. */
export const commitsInFlight = 2;
/** Frames of one connection that wait for an acknowledgement; beyond it reading stops. */
export const unacknowledgedFrames = 65_535;
/** Receive Maximum that a listener grants, unless the broker behind grants less. */
export const listenerReceiveMaximum = 1_024;
/** Receive Maximum that we grant the broker of a source. */
export const sourceReceiveMaximumDefault = 8_192;
/** PUBLISHes of an MQTT upstream without an answer. */
export const mqttInFlightDefault = 256;
/** One attempt at one NATS server: TCP, TLS, INFO and the first PONG. */
export const natsConnectWithinMs = 10_000;
/** A request to JetStream or a bucket is answered within this, or counts as failed. */
export const natsRequestWithinMs = 5_000;
/** What is on its way is waited for no longer than this by those who leave. */
export const natsLeaveWithinMs = 2_000;
export const natsPingEveryMs = 20_000;
/** Messages of a JetStream consumer that are on their way or wait for their commit. */
export const natsUnacknowledged = 2_048;
/** One pull asks for at most this many messages and bytes. */
export const natsPullMessages = 512;
export const natsPullBytes = 4 * MIB;
/** A pull waits at the server this long; it is told of life this often. */
export const natsPullExpiresMs = 30_000;
export const natsPullHeartbeatMs = 5_000;
/** After a break a pull waits no longer than this, so that what came again is soon passed on. */
export const natsBriefPullMs = 500;
/** What is in hand is told to be in progress at least this often. */
export const natsProgressMostMs = 60_000;
/** What a consumer waits for an acknowledgement; while we hold, it is told at a third of it. */
export const natsAckWaitMs = 5_000;
/** Messages of core NATS that wait for the path, of one source; beyond it they are dropped. */
export const natsWaitingMessages = 8_192;
export const natsWaitingBytes = 8 * MIB;
/** Messages of a NATS upstream without a PubAck. */
export const natsInFlightDefault = 1_024;
export const natsInFlightMost = 16_384;
/** A PubAck is waited for this long; what is sent again has the same Nats-Msg-Id. */
export const natsPubAckWithinMs = 5_000;
/** A config from the fleet's bucket. */
export const fleetConfigBytes = 768 * KIB;
export const confirmWithinDefaultMs = 60_000;
export const reportEveryDefaultMs = 30_000;
/** A report lives this many `reportEvery` in the bucket. */
export const reportsMissed = 3;
export const fleetErrorsMost = 30;
export const fleetBacklogGrowthBytes = 64 * MIB;
/** Hashes of configs that were refused or taken back, remembered by a gateway. */
export const fleetHashesRemembered = 256;
/** A config during whose trial the process ended this often is not tried again. */
export const fleetAttemptsMost = 2;
/** What the bucket keeps of one key, and a gateway looks at. */
export const fleetHistory = 10;
/** Entries of several keys that come together are applied together. */
export const fleetGatherMs = 100;
/** A bucket that is missing, or may not be read, is looked for again this often. */
export const fleetLookAgainMs = 5_000;
/** All keys are read again this often, give or take: what was not heard is found then. */
export const fleetReadAgainMs = 300_000;
export const fleetReadSpread = 0.2;
/** A fleet that hears of a config does not ask for it in one moment. */
export const fleetHearSpreadMs = 400;
/** What was heard is stored after these waits, or was refused. */
export const fleetStoredWithinMs = [250, 1_000, 5_000] as const;
/** What was usual before a config is what was in this time. */
export const fleetHealthMemoryMs = 60_000;
export const fleetLookEveryMs = 1_000;
/** A short trial is looked at this often at least. */
export const fleetTicksPerTrial = 20;
/** Before a config is applied, lanes may say this long whether they can forward. */
export const fleetSettleWithinMs = 5_000;
/** Of `confirmWithin`: how long a lane that forwarded may not; never less than the least. */
export const fleetGraceShare = 0.25;
export const fleetGraceLeastMs = 2_000;
/**
 * Of `confirmWithin`: how long the connection to NATS may be gone; never less than the least, since
 * a server that starts again takes its time, and so does the back-off before we look for it.
 */
export const fleetLinkShare = 0.5;
export const fleetLinkLeastMs = 10_000;
/** Changes of state within this are one report; it is spread by this share of `reportEvery`. */
export const fleetReportGatherMs = 250;
export const fleetReportSpread = 0.2;
/** A reason, as it is reported and remembered. */
export const fleetReasonChars = 500;
/** A connection that we open to an MQTT server has its CONNACK within this, or is given up. */
export const mqttConnectWithinMs = 15_000;
/** A server that does not close after our DISCONNECT is not waited for longer. */
export const mqttDisconnectWithinMs = 500;
/** Largest message of a WebSocket that we take from an MQTT server. */
export const websocketMessageBytes = 2 * MIB;
/** Topic Aliases that a listener grants one device; the broker behind may grant fewer. */
export const topicAliasMaximum = 64;
/** What one held device may have sent us beyond the frame that is held; then reading stops. */
export const readAheadBytes = 256 * KIB;
/** All that is read ahead of held devices together; beyond it nobody is read ahead. */
export const readAheadTotalBytes = 8 * MIB;
/** How long a broker keeps the session of our source while we are away. */
export const sessionAgeDefaultMs = 7 * 86_400_000;
/** A TLS handshake of a device is waited for this long; it counts before CONNECT does. */
export const tlsHandshakeWithinMs = 10_000;
/** Certificates, keys and password files are looked at this often for a change. */
export const filesCheckEveryMs = 2_000;
/** Ahead of its end a certificate is warned of, once in `certificateWarnEveryMs`. */
export const certificateWarnAheadMs = 14 * 86_400_000;
export const certificateWarnEveryMs = 86_400_000;
/** A PEM file or a password file that is larger is not one. */
export const pemFileBytes = 1 * MIB;
export const passwordFileBytes = 8 * MIB;
/** scrypt runs of log-ins at a time, all listeners together: each takes a core and 32 MiB. */
export const loginsComputing = 2;
/** Log-ins that wait for one of them; beyond it devices are refused as busy. */
export const loginsWaiting = 64;
/** What one scrypt run may take, whatever the password file says. */
export const scryptMemoryBytes = 64 * MIB;
/**
 * Passwords that were right, remembered so that a reconnect storm costs no scrypt. A changed line
 * of the password file forgets its own at once: the time may be as long as devices stay connected.
 */
export const loginsRemembered = 10_000;
export const loginRememberedMs = 24 * 3_600_000;
/** A broker behind a listener is waited for this long. */
export const brokerConnectWithinMs = 5_000;
/** While a broker behind is away, it is looked for this often. */
export const brokerProbeEveryMs = 3_000;
/** Bytes queued towards one socket before we stop reading what would add to them. */
export const socketBacklogBytes = 1 * MIB;
export const connectionsMax = 10_000;

/** Segment bytes one lane holds in memory: also bounds duplicates after a kill. */
export const egressWindowBytes = 4 * MIB;
export const egressWindowFrames = 32_768;
/** Gateways an event may have passed; one more is refused as a loop. */
export const viaHopsMax = 8;
/** Batch buffers that a Kafka thread keeps to use again. */
export const spareBufferBytes = 8 * MIB;
/** Records in one Kafka batch of one partition. */
export const kafkaBatchRecords = 4_096;
/**
 * Duplicates one kill can cause in one lane: the window's frames that were confirmed but whose
 * cursor was not yet committed.
 */
export const duplicatesPerKillFrames = egressWindowFrames;
/** A cursor update waits for the next commit at most this long: alone it would wear the flash. */
export const cursorDelayMs = 250;

/** A source that lost its broker. */
export const sourceBackoffFirstMs = 500;
export const sourceBackoffCapMs = 30_000;
export const backoffFirstMs = 250;
export const backoffCapMs = 30_000;
export const kafkaConnectTimeoutMs = 5_000;
export const kafkaRequestTimeoutMs = 15_000;
/** Of the time a broker lets a log-in live, how much passes before a new connection is made. */
export const kafkaSessionShare = 0.8;
/** Rounds of SCRAM a broker may ask for: fewer protect nobody, more only cost. */
export const scramIterationsLeast = 4_096;
export const scramIterationsMost = 1_000_000;
export const kafkaTopicsMax = 1_000;

export const bufferDefaultBytes = 1 * GIB;
export const bufferReserveBytes = 8 * MIB;
/** What a session left behind and nobody touched for this long, in lived time, is deleted. */
export const sessionAgeMs = 7 * 24 * 3_600_000;
/** A Will of a connection that lives on is touched this often. */
export const willTouchEveryMs = 24 * 3_600_000;
/** Share of buffer.bytes that dead letters may take. */
export const deadLetterShare = 0.25;
/** Dead letters that one segment takes back: frames, and bytes of them (less than a segment). */
export const replayFrames = 1_024;
export const replayBytes = 512 * KIB;
export const trimSegmentsPerCommit = 64;
export const checkpointPages = 1_000;
export const stopWithinDefaultMs = 5_000;

/** What the service manager is told of is looked at this often. */
export const serviceTickMs = 2_000;
/** Opening the buffer: what the manager is asked for, and how fast the slowest card is. */
export const openAtLeastMs = 60_000;
export const openBytesPerSecond = 1 * MIB;
/** After stopping, the HTTP port closes and the last log lines are written. */
export const stopLogMs = 8_000;
/** A thread that does not answer is given this many of the manager's watchdog bounds. */
export const watchdogPatience = 5;

export const routesMax = 512;
export const limitsMax = 1_024;
/** Device patterns with publish rules, all listeners together: bits of a connection's mask. */
export const allowPatternsMax = 32;
export const limitBuckets = 16_384;
export const topicNameBytes = 65_535;

/** Whether anything was done is looked at this often; after a while of nothing memory goes back. */
export const calmLookEveryMs = 5_000;
/** Fewer frames than this left nothing behind that is worth a collection. */
export const burstFrames = 10_000;
/** Worker threads: resourceLimits, MiB. */
export const threadYoungGenerationMib = 2;
/** Rendering makes short-lived objects by the thousand: with 2 MiB it collects all the time. */
export const egressThreadYoungGenerationMib = 8;
export const bufferThreadOldGenerationMib = 64;
export const egressThreadOldGenerationMib = 160;

/** A log line of one kind appears at most this often; the rest is counted in the next line. */
export const logLineEveryMs = 1_000;

/** Kinds of log lines that are told apart at one time; beyond it one event name is one kind. */
export const logKindsMax = 512;
/** The log waits in memory at most this much when its reader is slow; then lines are lost. */
export const logBacklogBytes = 4 * MIB;

/** Services that the bridge knows by a token. */
export const bridgeClientsMax = 256;
/** A request's body, after decompression (JSON takes some times its bytes); records in it. */
export const bridgeBodyBytes = 1 * MIB;
export const bridgeRecordsMax = 5_000;
/** Bodies of all requests in hand; beyond it the next is told to come again. */
export const bridgeBodiesBytes = 4 * MIB;
export const bridgeBodiesOfDeviceBytes = 2 * MIB;
/** A body may be so many times as long as what was sent of it; below the floor any may. */
export const bridgeRatioMost = 100;
export const bridgeRatioFloorBytes = 64 * KIB;
/** Idempotency-Keys that are known: for so long in lived time, so many in all and of a device. */
export const requestKeyAgeMs = 24 * 3_600_000;
export const requestKeysMax = 10_000;
export const requestKeysOfDeviceMax = 2_000;
/** What is not on disk by then is answered 503; it may be stored all the same. */
export const bridgeStoredWithinMs = 10_000;
/** The local HTTP port: what a client may take, and how long. */
export const httpConnectionsMax = 64;
export const httpHeaderBytes = 8 * KIB;
export const httpHeadersWithinMs = 5_000;
export const httpRequestWithinMs = 10_000;
/** A scrape waits this long for the buffer's figures; then it shows the last seen. */
export const metricsRefreshWithinMs = 2_000;

function assertBounds(): void {
  const chain: [string, number][] = [
    ['maxPacketSizeDefaultBytes', maxPacketSizeDefaultBytes],
    ['maxPacketSizeCeilingBytes', maxPacketSizeCeilingBytes],
    ['chunkRegionBytes', chunkRegionBytes],
    ['segmentRegionBytes', segmentRegionBytes],
    ['kafkaRecordBatchBytes less kafkaEnvelopeBytes', kafkaRecordBatchBytes - kafkaEnvelopeBytes],
  ];
  for (let i = 1; i < chain.length; i++) {
    const [lowName, low] = chain[i - 1] as [string, number];
    const [highName, high] = chain[i] as [string, number];
    if (low >= high) throw new RangeError(`bounds: ${lowName} (${low}) < ${highName} (${high})`);
  }
  if (readAheadTotalBytes >= partialPacketsBytes) {
    throw new RangeError('bounds: what is read ahead leaves room for partial packets');
  }
  if (replayBytes >= segmentRegionBytes) {
    throw new RangeError('bounds: what is replayed at once fits into a segment');
  }
  if (willTouchEveryMs >= sessionAgeMs / 2) {
    throw new RangeError('bounds: a Will is touched well before its row goes');
  }
  if (egressWindowBytes < segmentRegionBytes) {
    throw new RangeError('bounds: egressWindowBytes holds at least one segment');
  }
}

assertBounds();
