using System.Text;
using ByteStreams.Groups;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Cluster.Links;

/// <summary>
/// The receiver of another host's batches. Each batch number is applied once, in order. After an idle time of
/// <see cref="ByteStreamClusterOptions.LinkTimeout"/> the epoch is rejected: the other host must start a new one.
/// </summary>
internal sealed class IncomingLink
{
    private readonly SiloAddress _host;
    private readonly ByteStreamConnections _connections;
    private readonly ByteStreamClusterOptions _options;
    private readonly ClusterMetrics _metrics;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly Action<string, long, string> _replace;
    private readonly Action _known;
    private readonly Lock _gate = new();
    private long _epoch;
    private long _applied;
    private long _heard;
    private bool _isRefused;
    private volatile bool _isFenced;

    // The name of the last message, cached because consecutive messages often have the same name.
    private byte[] _lastNameBytes = [];
    private string _lastName = string.Empty;

    /// <param name="host">The other host.</param>
    /// <param name="connections">The receivers of the messages.</param>
    /// <param name="options">The timeouts.</param>
    /// <param name="metrics">Counts duplicate and fenced batches.</param>
    /// <param name="logger">Logs batches that cannot be decoded.</param>
    /// <param name="replace">Closes the older connections of a user on the other host.</param>
    /// <param name="known">Called after the other host has announced all of its groups for the first time.</param>
    public IncomingLink(
        SiloAddress host,
        ByteStreamConnections connections,
        ByteStreamClusterOptions options,
        ClusterMetrics metrics,
        ILogger logger,
        Action<string, long, string> replace,
        Action known)
    {
        _host = host;
        _connections = connections;
        _options = options;
        _metrics = metrics;
        _time = options.TimeProvider;
        _logger = logger;
        _replace = replace;
        _known = known;
    }

    /// <summary>The groups of the other host.</summary>
    public PeerInterest Interest { get; } = new();

    /// <summary>
    /// Returns whether the other host may have a member of a group: it has announced one, or its groups are not known now, because a snapshot of
    /// them is incomplete or the link was idle for longer than <see cref="ByteStreamClusterOptions.LinkTimeout"/>.
    /// </summary>
    public bool MayHave(ulong group) =>
        !Interest.IsComplete || Interest.Contains(group) || _time.GetElapsedTime(Volatile.Read(ref _heard)) > _options.LinkTimeout;

    /// <summary>Rejects all further batches, because the other host was evicted.</summary>
    public void Fence() => _isFenced = true;

    public LinkReply Apply(LinkBatch batch)
    {
        if (_isFenced)
        {
            _metrics.Fenced();
            return LinkReply.Fenced;
        }

        // A batch with many receivers takes long to apply. A resent batch gets an immediate reply and does not block a thread.
        if (!_gate.TryEnter())
        {
            return LinkReply.Working;
        }

        bool becameKnown;
        try
        {
            if (batch.Format != LinkBatch.CurrentFormat)
            {
                ClusterLog.BatchUnreadable(_logger, new FormatException($"Unsupported batch format {batch.Format}; this version supports {LinkBatch.CurrentFormat}."), _host);
                return LinkReply.Renew;
            }

            if (batch.Epoch < _epoch)
            {
                return LinkReply.Renew;
            }

            if (batch.Epoch > _epoch)
            {
                if (batch.Number != 1)
                {
                    return LinkReply.Renew;
                }

                (_epoch, _applied, _isRefused) = (batch.Epoch, 0, false);
                Interest.BeginSnapshot();
            }
            else if (_isRefused || _time.GetElapsedTime(_heard) > _options.LinkTimeout + OutgoingLink.TransferTime(batch))
            {
                _isRefused = true;
                return LinkReply.Renew;
            }

            if (batch.Number <= _applied)
            {
                _metrics.Duplicate();
                Volatile.Write(ref _heard, _time.GetTimestamp());
                return LinkReply.Accepted;
            }

            if (batch.Number != _applied + 1)
            {
                _isRefused = true;
                return LinkReply.Renew;
            }

            bool wasKnown = Interest.IsKnown;
            // Set before the batch is applied: after a failure, its applied entries must not be applied again.
            _applied = batch.Number;
            try
            {
                ApplyContent(batch.Content);
            }
            catch (Exception unreadable)
            {
                ClusterLog.BatchUnreadable(_logger, unreadable, _host);
                _isRefused = true;
                return LinkReply.Renew;
            }

            Volatile.Write(ref _heard, _time.GetTimestamp());
            becameKnown = !wasKnown && Interest.IsKnown;
        }
        finally
        {
            _gate.Exit();
        }

        if (becameKnown)
        {
            _known();
        }

        return LinkReply.Accepted;
    }

    private void ApplyContent(byte[] content)
    {
        var reader = new LinkReader(content);
        while (!reader.IsAtEnd && !_isFenced)
        {
            var entry = (LinkEntry)reader.ReadByte();
            switch (entry)
            {
                case LinkEntry.Interest:
                    Interest.Add(reader.ReadNumber());
                    break;
                case LinkEntry.Withdrawal:
                    Interest.Remove(reader.ReadNumber());
                    break;
                case LinkEntry.InterestComplete:
                    Interest.CompleteSnapshot();
                    break;
                case LinkEntry.Message:
                    var kind = (TargetKind)reader.ReadByte();
                    string name = Name(reader.ReadBytes());
                    ReadOnlySpan<byte> except = reader.ReadBytes();
                    _connections.Deliver(kind, name, except.IsEmpty ? null : Encoding.UTF8.GetString(except), reader.ReadBytes());
                    break;
                case LinkEntry.Replace:
                    string user = Name(reader.ReadBytes());
                    string id = Encoding.UTF8.GetString(reader.ReadBytes());
                    if (_connections.ReplaceOlder(user, (long)reader.ReadNumber(), id) is ByteStreamMember newer)
                    {
                        _replace(user, newer.Number, newer.Id);
                    }

                    break;
                default:
                    throw new FormatException($"Unknown batch entry type {(byte)entry}.");
            }
        }
    }

    private string Name(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.SequenceEqual(_lastNameBytes))
        {
            (_lastNameBytes, _lastName) = (bytes.ToArray(), Encoding.UTF8.GetString(bytes));
        }

        return _lastName;
    }
}
