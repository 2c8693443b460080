namespace ByteStreams;

/// <summary>The state of the application's endpoints. It never returns to an earlier state.</summary>
public enum ByteStreamsState
{
    /// <summary>The endpoints do not accept clients yet.</summary>
    Starting,

    /// <summary>All endpoints have started.</summary>
    Serving,

    /// <summary>The endpoints are draining: the application is not ready, even while it still accepts clients.</summary>
    Draining,

    /// <summary>All connections are closed or aborted.</summary>
    Drained,
}
