namespace ByteStreams.Connections;

/// <summary>The server that accepted a connection, as <see cref="ConnectionRunner"/> calls it.</summary>
internal interface IConnectionOwner
{
    /// <summary>Serves the connection with the pipeline that is in effect.</summary>
    Task ServeAsync(ConnectionState connection);

    /// <summary>Kestrel has taken the connection over. Completes where its handler is to run.</summary>
    ValueTask BeginAsync(ConnectionState connection);

    /// <summary>Connection middleware has thrown. Logs that and aborts the connection.</summary>
    void OnMiddlewareFailed(ConnectionState connection, Exception error);

    /// <summary>The connection is closed, and everything that it held is released.</summary>
    ValueTask LeaveAsync(ConnectionState connection);
}
