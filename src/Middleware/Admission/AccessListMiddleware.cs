using System.Net;
using System.Net.Sockets;
using ByteStreams.Connections;
using ByteStreams.Transport.Addresses;
using ByteStreams.Transport.Unix;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace ByteStreams.Admission;

/// <summary>
/// Refuses clients that are on the deny list or not on the allow list. The user of a Unix socket is that of the process that connected, whatever a
/// PROXY header names.
/// </summary>
internal sealed class AccessListMiddleware : ConnectionMiddleware
{
    private readonly NetworkList _allow;
    private readonly NetworkList _deny;
    private readonly HashSet<uint> _users;
    private readonly HashSet<uint> _groups;
    private readonly ILogger _logger;

    public AccessListMiddleware(ConnectionDelegate next, AccessListOptions options, ILogger logger)
        : base(next, forwards: true)
    {
        options.Validate();
        _allow = NetworkList.Parse(options.Allow);
        _deny = NetworkList.Parse(options.Deny);
        _users = [.. options.AllowedUsers.Select(user => UnixAccounts.GetUserId(user))];
        _groups = [.. options.AllowedGroups.Select(group => UnixAccounts.GetGroupId(group))];
        _logger = logger;
    }

    protected override Task ServeAsync(ConnectionState connection)
    {
        ConnectionContext context = connection.Connection;
        EndPoint? client = context.RemoteEndPoint;
        if (_deny.Contains(client) || (!_allow.IsEmpty && !_allow.Contains(client)))
        {
            return RefuseAsync(context, ConnectionCloseReason.RefusedAddress);
        }

        if ((_users.Count > 0 || _groups.Count > 0) && connection.Peer is null or UnixDomainSocketEndPoint)
        {
            // A peer without credentials is not allowed.
            UnixCredentials? credentials = UnixPeerCredentials.For(context);
            if (credentials is not UnixCredentials peer || !(_users.Contains(peer.UserId) || _groups.Contains(peer.GroupId)))
            {
                return RefuseAsync(context, ConnectionCloseReason.RefusedUser);
            }
        }

        return Next(context);
    }

    private Task RefuseAsync(ConnectionContext context, ConnectionCloseReason reason)
    {
        AdmissionLog.Refused(_logger, context.ConnectionId, LogText.Of(context.RemoteEndPoint), reason);
        return Verdict.RefuseAsync(context, reason, banner: null);
    }
}
