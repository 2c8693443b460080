namespace ByteStreams;

/// <summary>A type-length-value field of a version 2 PROXY header.</summary>
/// <param name="Type">The type; 0xE0 to 0xEF are for applications, 0xF0 to 0xF7 for experiments.</param>
/// <param name="Value">The value, at most 65,535 bytes.</param>
public readonly record struct ProxyTlv(byte Type, ReadOnlyMemory<byte> Value)
{
    /// <summary>PP2_TYPE_ALPN.</summary>
    public const byte ApplicationProtocol = 0x01;

    /// <summary>PP2_TYPE_AUTHORITY.</summary>
    public const byte Authority = 0x02;

    /// <summary>PP2_TYPE_UNIQUE_ID.</summary>
    public const byte UniqueId = 0x05;

    /// <summary>PP2_TYPE_SSL.</summary>
    public const byte Ssl = 0x20;

    /// <summary>PP2_TYPE_NETNS.</summary>
    public const byte NetworkNamespace = 0x30;

    /// <summary>PP2_TYPE_AWS.</summary>
    public const byte Aws = 0xEA;

    internal const byte Crc32C = 0x03;

    internal const byte NoOperation = 0x04;
}
