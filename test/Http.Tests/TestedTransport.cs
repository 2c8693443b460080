namespace ByteStreams.Http.Tests;

/// <summary>The transport of the application's Kestrel: what passes on both is parity.</summary>
public enum TestedTransport
{
    /// <summary>Kestrel's own socket transport: proves the test.</summary>
    Stock,

    /// <summary>This library's, by <c>AddByteStreamTransport</c>.</summary>
    ByteStreams,
}

/// <summary>The endpoint that the client connects to.</summary>
public enum Endpoint
{
    /// <summary>Plain HTTP over TCP.</summary>
    Tcp,

    /// <summary>Plain HTTP over a Unix socket.</summary>
    Unix,

    /// <summary>HTTPS by ASP.NET Core's middleware.</summary>
    UseHttps,

    /// <summary>HTTPS by this library's middleware.</summary>
    UseTls,
}

/// <summary>How a client leaves.</summary>
public enum Departure
{
    /// <summary>Shuts its sending direction down, after close_notify on TLS, and goes on receiving.</summary>
    HalfClose,

    /// <summary>Closes the socket: a FIN, and no close_notify.</summary>
    Close,

    /// <summary>Resets the connection; on a Unix socket, closes it.</summary>
    Reset,
}
