namespace ByteStreams.Transport;

/// <summary>Whose output a <see cref="TransportPipeWriter"/> is.</summary>
internal interface IOutputOwner
{
    /// <summary>Called, outside of any lock, when a send has failed, before anybody else hears of it; where two meet the failure at once, perhaps by both.</summary>
    /// <param name="loss">
    /// The cause; a <see cref="Microsoft.AspNetCore.Connections.ConnectionAbortedException"/> when this side gave up: the output was
    /// completed with an exception, or its channel is closed.
    /// </param>
    void OnOutputLost(Exception loss);
}
