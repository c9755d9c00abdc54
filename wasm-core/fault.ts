/**
 * Every reason for which the core refuses something: a closed list of numbers, never reused.
 * `agent/frames/faults.ts` gives each its name (FAULT_TOPIC_ALIAS is `topicAlias`); a test compares
 * the two files. 1–49: bytes of a device, they cost that connection. 50–69: config. 70–79: a
 * segment body that does not hold. 80–: the host called the core wrongly.
 */
export const FAULT_NONE: i32 = 0;

export const FAULT_PACKET_TYPE: i32 = 1; // type 0, or AUTH before version 5
export const FAULT_PACKET_FLAGS: i32 = 2; // reserved bits of the first byte
export const FAULT_REMAINING_LENGTH: i32 = 3; // five bytes, more than needed, or not of its type
export const FAULT_PACKET_TOO_LARGE: i32 = 4;
export const FAULT_CONNECT_EXPECTED: i32 = 5;
export const FAULT_CONNECT_REPEATED: i32 = 6;
export const FAULT_PACKET_DIRECTION: i32 = 7; // a packet only the other side may send
export const FAULT_FIELD_LENGTH: i32 = 8; // a field reaches past the end of its packet
export const FAULT_EXCESS_BYTES: i32 = 9; // bytes behind the last field
export const FAULT_UTF8: i32 = 10;
export const FAULT_TOPIC_NAME_EMPTY: i32 = 11;
export const FAULT_TOPIC_NAME_WILDCARD: i32 = 12;
export const FAULT_QOS: i32 = 13;
export const FAULT_DUP: i32 = 14;
export const FAULT_PACKET_IDENTIFIER: i32 = 15; // 0, in a PUBLISH or its acknowledgements
export const FAULT_PROPERTY_UNKNOWN: i32 = 16; // no packet has it
export const FAULT_PROPERTY_REPEATED: i32 = 17;
export const FAULT_PROPERTY_LENGTH: i32 = 18;
export const FAULT_PROPERTY_VALUE: i32 = 19;
export const FAULT_TOPIC_ALIAS: i32 = 20; // Topic Alias 0, or above the Topic Alias Maximum
export const FAULT_SUBSCRIPTION_IDENTIFIER: i32 = 21; // sent by a client in a PUBLISH
export const FAULT_RESPONSE_TOPIC: i32 = 22; // wildcard in it, or empty
export const FAULT_PROTOCOL_NAME: i32 = 23;
export const FAULT_PROTOCOL_VERSION: i32 = 24;
export const FAULT_CONNECT_FLAGS: i32 = 25;
export const FAULT_WILL_TOPIC: i32 = 26;
export const FAULT_TOPIC_FILTER: i32 = 27; // in a SUBSCRIBE or UNSUBSCRIBE
export const FAULT_SUBSCRIPTION_OPTIONS: i32 = 28; // reserved bits
export const FAULT_CLIENT_IDENTIFIER: i32 = 29; // empty where it may not be
export const FAULT_REQUEST_IDENTIFIER: i32 = 30; // Packet Identifier 0, SUBSCRIBE or UNSUBSCRIBE
export const FAULT_REASON_CODE: i32 = 31; // not of this packet, or not of a client
export const FAULT_PROPERTY_NOT_ALLOWED: i32 = 32; // another packet's
export const FAULT_PROPERTY_MISSING: i32 = 33; // AUTH without Authentication Method
export const FAULT_AUTH_UNEXPECTED: i32 = 34; // CONNECT named no Authentication Method
export const FAULT_AUTH_EXPECTED: i32 = 35; // another packet while AUTH is awaited
export const FAULT_SUBSCRIPTION_EMPTY: i32 = 36; // no Topic Filter at all
export const FAULT_SUBSCRIPTION_VALUE: i32 = 37; // QoS 3, or Retain Handling 3
export const FAULT_SHARED_SUBSCRIPTION: i32 = 38; // its name, its filter, or No Local with it
export const FAULT_SESSION_EXPIRY: i32 = 39; // DISCONNECT keeps a Session that CONNECT did not
export const FAULT_DISCONNECT_REASON: i32 = 40; // DISCONNECT with a Reason Code a client has not
export const FAULT_CREDENTIALS: i32 = 41; // User Name or Password missing, cut short, not UTF-8

export const FAULT_TOPIC_FILTER_EMPTY: i32 = 50;
export const FAULT_TOPIC_FILTER_WILDCARD: i32 = 51;
export const FAULT_TRIE_FULL: i32 = 52;
export const FAULT_ROUTES_FULL: i32 = 53;
export const FAULT_LIMITS_FULL: i32 = 54;
export const FAULT_LIMIT_INVALID: i32 = 55;
export const FAULT_ROUTE_UNKNOWN: i32 = 56;

export const FAULT_SEGMENT_MAGIC: i32 = 70;
export const FAULT_SEGMENT_VERSION: i32 = 71;
export const FAULT_SEGMENT_FLAGS: i32 = 72; // compressed or encrypted: not readable by this version
export const FAULT_SEGMENT_LENGTH: i32 = 73;
export const FAULT_SEGMENT_CHECKSUM: i32 = 74;
export const FAULT_SEGMENT_FRAMES: i32 = 75; // the frames do not fill the body exactly

export const FAULT_ARGUMENT: i32 = 80;
