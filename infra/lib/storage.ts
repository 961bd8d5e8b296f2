import {
  aws_dynamodb as dynamodb,
  aws_iam as iam,
  aws_kms as kms,
  aws_s3 as s3,
  aws_secretsmanager as secretsmanager,
  ArnFormat,
  CfnOutput,
  Duration,
  RemovalPolicy,
  Stack,
  type StackProps,
} from "aws-cdk-lib";
import type { Construct } from "constructs";

import { accept } from "./nag.js";
import { type Settings, tags } from "./settings.js";
import { TABLES, TTL, type TableOfList } from "./tables.js";

const COLON = ArnFormat.COLON_RESOURCE_NAME;

/** A ticket is kept 90 days (`limits::TICKET_RETENTION`); its body a week longer, so that it never goes first. */
const BODY_DAYS = 97;

/** What is kept: the tables, the bucket, the secret in the key hashes, and the key that encrypts them. */
export class Storage extends Stack {
  readonly key: kms.Key;
  readonly bucket: s3.Bucket;
  readonly pepper: secretsmanager.Secret;
  readonly #tables = new Map<string, dynamodb.CfnGlobalTable>();
  readonly #settings: Settings;

  constructor(scope: Construct, id: string, settings: Settings, props?: StackProps) {
    super(scope, id, { ...props, description: "Switchboard: what is kept", terminationProtection: settings.protect });
    this.#settings = settings;
    const kept = settings.protect ? RemovalPolicy.RETAIN : RemovalPolicy.DESTROY;

    this.key = new kms.Key(this, "Key", {
      alias: settings.prefix,
      description: "Encrypts the tables, the bucket, the queues, the topics and the logs of Switchboard",
      enableKeyRotation: true,
      removalPolicy: kept,
      pendingWindow: Duration.days(settings.protect ? 30 : 7),
    });
    for (const statement of this.#keyPolicy()) this.key.addToResourcePolicy(statement);

    for (const table of TABLES) this.#tables.set(table.name, this.#table(table, kept));

    const logs = new s3.Bucket(this, "AccessLogs", {
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      // The service that delivers these logs takes no key of ours without more permissions.
      encryption: s3.BucketEncryption.S3_MANAGED,
      enforceSSL: true,
      lifecycleRules: [{ id: "end", expiration: Duration.days(settings.auditDays) }],
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: kept,
    });
    accept(logs, "it holds the access logs of the other bucket; its own would grow by themselves", "S1");
    this.bucket = new s3.Bucket(this, "Bucket", {
      bucketName: this.bucketName,
      blockPublicAccess: s3.BlockPublicAccess.BLOCK_ALL,
      encryption: s3.BucketEncryption.KMS,
      encryptionKey: this.key,
      // One data key a bucket and hour instead of one call of KMS an object.
      bucketKeyEnabled: true,
      enforceSSL: true,
      minimumTLSVersion: 1.2,
      versioned: true,
      serverAccessLogsBucket: logs,
      serverAccessLogsPrefix: "bucket/",
      objectOwnership: s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
      removalPolicy: kept,
      lifecycleRules: [
        { id: "bodies", prefix: "bodies/", expiration: Duration.days(BODY_DAYS) },
        {
          // Still readable at once, as a document that is indexed must be.
          id: "documents",
          prefix: "documents/",
          transitions: [{ storageClass: s3.StorageClass.GLACIER_INSTANT_RETRIEVAL, transitionAfter: Duration.days(90) }],
        },
        {
          id: "old-versions",
          noncurrentVersionExpiration: Duration.days(30),
          abortIncompleteMultipartUploadAfter: Duration.days(1),
        },
      ],
    });

    this.pepper = new secretsmanager.Secret(this, "Pepper", {
      secretName: `${settings.prefix}/pepper`,
      description: "Goes into the hash of every API key; a new one makes every key wrong",
      encryptionKey: this.key,
      generateSecretString: { passwordLength: 64, excludePunctuation: true },
      removalPolicy: kept,
    });
    accept(this.pepper, "every key hash holds it: a rotation would end all keys at once", "SMG4");

    new CfnOutput(this, "BucketName", { value: this.bucket.bucketName });
    new CfnOutput(this, "PepperSecret", { value: this.pepper.secretArn });
    new CfnOutput(this, "TablePrefix", { value: `${settings.prefix}-` });
  }

  /** The stream of a table. */
  streamArn(name: string): string {
    const table = this.#tables.get(name);
    if (table?.streamSpecification === undefined) throw new Error(`the table ${name} has no stream`);
    return table.attrStreamArn;
  }

  // By name, not by reference: who reads a policy sees which table it is, and a stack can let go of one that another still has.
  tableArn(name: string): string {
    return this.formatArn({ service: "dynamodb", resource: "table", resourceName: this.tableName(name) });
  }

  tableName(name: string): string {
    if (!this.#tables.has(name)) throw new Error(`there is no table ${name}`);
    return `${this.#settings.prefix}-${name}`;
  }

  get bucketName(): string {
    return `${this.#settings.prefix}-${this.account}-${this.region}`;
  }

  get bucketArn(): string {
    return this.formatArn({ service: "s3", region: "", account: "", resource: this.bucketName });
  }

  indexArns(name: string): string[] {
    const indexes = TABLES.find((table) => table.name === name)?.indexes ?? [];
    return indexes.map((index) => `${this.tableArn(name)}/index/${index.name}`);
  }

  /** The secrets of all tenants: `{prefix}/{tenant}/{name}`. */
  get tenantSecretsArn(): string {
    return this.formatArn({ service: "secretsmanager", resource: "secret", resourceName: `${this.#settings.prefix}/*/*`, arnFormat: COLON });
  }

  /**
   * A global table of one region: other regions can join it later, where a plain table would have to be made anew. By the
   * resource itself, because the construct above it asks for the region's name before it is known.
   */
  #table(table: TableOfList, removalPolicy: RemovalPolicy): dynamodb.CfnGlobalTable {
    const keys = (hash: string, range?: string) => [
      { attributeName: hash, keyType: "HASH" },
      ...(range === undefined ? [] : [{ attributeName: range, keyType: "RANGE" }]),
    ];
    const names = [table, ...table.indexes].flatMap(({ hash, range }) => (range === undefined ? [hash] : [hash, range]));
    const made = new dynamodb.CfnGlobalTable(this, `Table-${table.name}`, {
      tableName: `${this.#settings.prefix}-${table.name}`,
      keySchema: keys(table.hash, table.range),
      attributeDefinitions: [...new Set(names)].map((attributeName) => ({ attributeName, attributeType: "S" })),
      billingMode: "PAY_PER_REQUEST",
      ...(table.indexes.length > 0 && {
        globalSecondaryIndexes: table.indexes.map((index) => ({
          indexName: index.name,
          keySchema: keys(index.hash, index.range),
          projection: { projectionType: index.whole ? "ALL" : "KEYS_ONLY" },
        })),
      }),
      ...(table.stream && { streamSpecification: { streamViewType: "NEW_IMAGE" } }),
      timeToLiveSpecification: { attributeName: TTL, enabled: true },
      sseSpecification: { sseEnabled: true, sseType: "KMS" },
      replicas: [
        {
          region: this.region,
          deletionProtectionEnabled: this.#settings.protect,
          pointInTimeRecoverySpecification: { pointInTimeRecoveryEnabled: true, recoveryPeriodInDays: 35 },
          sseSpecification: { kmsMasterKeyId: this.key.keyArn },
          tags: Object.entries(tags(this.#settings)).map(([key, value]) => ({ key, value })),
        },
      ],
    });
    made.applyRemovalPolicy(removalPolicy);
    return made;
  }

  /** Services that use the key for us, in this account only. Roles of functions get theirs by their own policies. */
  #keyPolicy(): iam.PolicyStatement[] {
    const own = { StringEquals: { "aws:SourceAccount": this.account } };
    const logs = new iam.PolicyStatement({
      sid: "Logs",
      principals: [new iam.ServicePrincipal(`logs.${this.region}.amazonaws.com`)],
      actions: ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"],
      resources: ["*"],
      conditions: {
        ArnLike: {
          "kms:EncryptionContext:aws:logs:arn": this.formatArn({ service: "logs", resource: "log-group", resourceName: "*", arnFormat: COLON }),
        },
      },
    });
    const services = new iam.PolicyStatement({
      sid: "EventsAndAlarms",
      principals: ["events", "cloudwatch", "budgets", "sns"].map((name) => new iam.ServicePrincipal(`${name}.amazonaws.com`)),
      actions: ["kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"],
      resources: ["*"],
      conditions: own,
    });
    return [logs, services];
  }
}
