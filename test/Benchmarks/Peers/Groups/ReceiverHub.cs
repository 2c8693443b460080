using System.Text;
using Microsoft.AspNetCore.SignalR;

namespace Benchmarks.Groups;

/// <summary>The same with SignalR: joins the group, and greets.</summary>
internal sealed class ReceiverHub : Hub
{
    public const string Method = "m";

    public override async Task OnConnectedAsync()
    {
        await Groups.AddToGroupAsync(Context.ConnectionId, Receiver.Group);
        await Clients.Caller.SendAsync(Method, Encoding.ASCII.GetString(Receiver.Greeting[..^1]));
    }
}
