namespace ByteStreams;

/// <summary>How far the application's endpoints are in their life. It only ever goes on to a later one.</summary>
public enum ByteStreamsState
{
    /// <summary>The endpoints do not accept clients yet.</summary>
    Starting,

    /// <summary>All endpoints have started.</summary>
    Serving,

    /// <summary>The endpoints end: the application is not ready any more, whether or not it still accepts clients.</summary>
    Draining,

    /// <summary>No client is left, or those that were left have been aborted.</summary>
    Drained,
}
