namespace ByteStreams.Transport;

/// <summary>The connection that a <see cref="TransportPipeWriter"/> is the output of.</summary>
internal interface IOutputOwner
{
    /// <summary>Called, outside of any lock, when a send has failed, before any flush reports it. Two threads that meet the failure at once may both call.</summary>
    /// <param name="loss">
    /// The cause; a <see cref="Microsoft.AspNetCore.Connections.ConnectionAbortedException"/> when this side gave up: the output was
    /// completed with an exception, or its channel is closed.
    /// </param>
    void OnOutputLost(Exception loss);
}
