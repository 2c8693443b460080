namespace ByteStreams;

/// <summary>The order of the bytes of a length field.</summary>
public enum Endianness
{
    /// <summary>The most significant byte first: network byte order.</summary>
    BigEndian = 0,

    /// <summary>The least significant byte first.</summary>
    LittleEndian,
}
